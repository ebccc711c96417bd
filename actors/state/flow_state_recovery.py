"""What an earlier run of this agent knew of per-flow state, out of its journal.

The last segment's snapshot and tail are replayed, as a debugger would; nothing else survives a
restart, since devices, tables and flows are fetched or made afresh.
"""

from pathlib import Path

from actors.messages.flow_state import KnownKey
from actors.state.flow_state_replicator import FlowStateReplicator
from actors.state.journal_format import segments
from actors.state.replay import Replay
from actors.values import ActorName

REPLICATOR = ActorName("flow-state-replicator")


def known_flow_state(journal: Path) -> tuple[KnownKey, ...]:
    """Return the keys that the journal's last run ended with.

    Raises JournalError if there is no journal or it cannot be replayed by this code.
    """
    replay = Replay(segments(journal)[-1])
    replay.run()
    replicator = replay.actor(REPLICATOR)
    if not isinstance(replicator, FlowStateReplicator):
        return ()
    state = replicator.state
    return tuple(KnownKey(tag, state.values[tag], heard) for tag, heard in state.keys.items())
