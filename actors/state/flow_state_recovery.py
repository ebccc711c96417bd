"""What an earlier run of this agent knew of per-flow state, out of its journal.

The last segment's snapshot and tail are replayed, as a debugger would; nothing else survives a
restart, since devices, tables and flows are fetched or made afresh.
"""

from pathlib import Path

from actors.messages.flow_state import KnownKey
from actors.state.flow_state_replicator import FlowStateReplicator
from actors.state.journal_format import JournalError, segments
from actors.state.replay import Replay
from actors.values import ActorName

REPLICATOR = ActorName("flow-state-replicator")


def known_flow_state(journal: Path) -> tuple[KnownKey, ...]:
    """Return the keys that the journal's last run ended with.

    A last segment of which nothing is whole is passed over, as its run had hardly begun. Raises
    JournalError if there is no journal or it cannot be replayed by this code.
    """
    replicator = None
    for segment in reversed(segments(journal)):
        replay = Replay(segment)
        try:
            began = replay.run().inputs > 0
        except JournalError as error:
            if segment == segments(journal)[0]:
                raise JournalError(f"nothing of {journal} can be replayed: {error}") from error
            continue
        if began:
            replicator = replay.actor(REPLICATOR)
            break
    if not isinstance(replicator, FlowStateReplicator):
        return ()
    state = replicator.state
    return tuple(KnownKey(tag, state.values[tag], heard) for tag, heard in state.keys.items())
