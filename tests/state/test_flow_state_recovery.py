"""A restarted agent takes over what its last run knew of other hosts' flows."""

from pathlib import Path

import msgspec
import pytest

from actors.host import HostSettings
from actors.messages.flow_state import FlowStateKey, FlowStateRestored, KnownKey
from actors.packets.flow_key import TunnelKey
from actors.state.flow_state_recovery import known_flow_state
from actors.state.flow_state_replicator import FlowStateReplicator
from actors.state.flow_state_wire import encode_frames
from actors.state.journal import JournalSettings, JournalWriter, Run
from actors.state.journal_format import JournalError
from actors.tags import flow_state_tag
from actors.tunnel_key import FLOW_STATE_KEY
from actors.values import SECOND, ActorName, DeviceId, HostId, Nanoseconds, parse_ip
from tests.network import START, Network

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  lan: {ports: {a: {host: h1, interface: a}}}
"""
REPLICATOR = ActorName("flow-state-replicator")
KEY = FlowStateKey(
    "nat", DeviceId("r"), 6, parse_ip("10.0.0.1"), 1000, parse_ip("8.8.8.8"), 53, b"binding"
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a host that another one has handed a key, killed afterwards."""
    net = Network(TOPOLOGY, HostSettings(HostId(""), ""))
    host = net.hosts["h1"]
    run = Run("test", "h1", START, 2048, msgspec.Raw(msgspec.msgpack.encode(host.settings)))
    host.lane.journal = JournalWriter(JournalSettings(tmp_path / "journal"), run)
    net.start()
    (frame,) = encode_frames(HostId("h2"), (KEY,), 1500)
    outer = TunnelKey(FLOW_STATE_KEY, parse_ip("198.18.0.2"), parse_ip("198.18.0.1"))
    net.tunnel(frame, outer)
    net.settle()
    return tmp_path / "journal"


def test_the_keys_that_a_killed_run_had_are_known_again(journal: Path) -> None:
    assert known_flow_state(journal) == (KnownKey(flow_state_tag(KEY), b"binding", START),)


@pytest.mark.parametrize("torn", [b"", b"AYATORIJ", bytes(5000)])
def test_a_segment_that_was_hardly_begun_is_passed_over(journal: Path, torn: bytes) -> None:
    (journal / "00000009.journal").write_bytes(torn)
    assert [key.value for key in known_flow_state(journal)] == [b"binding"]


def test_a_journal_of_which_nothing_can_be_replayed_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "00000001.journal").write_bytes(b"")
    with pytest.raises(JournalError, match="nothing of"):
        known_flow_state(tmp_path)


def test_what_is_older_than_a_minute_is_not_taken_over() -> None:
    net = Network.from_yaml(TOPOLOGY)
    host = net.hosts["h1"]
    fresh, old = Nanoseconds(START - SECOND), Nanoseconds(START - 61 * SECOND)
    keys = (
        KnownKey(flow_state_tag(KEY), b"fresh", fresh),
        KnownKey(flow_state_tag(msgspec.structs.replace(KEY, proto=17)), b"old", old),
    )
    host.handle(REPLICATOR, FlowStateRestored(START, keys))
    replicator = host.actor(REPLICATOR)
    assert isinstance(replicator, FlowStateReplicator)
    assert replicator.find(KEY) == b"fresh"
    assert list(replicator.state.values.values()) == [b"fresh"]
