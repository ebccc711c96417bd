"""Replay of journals that whole networks wrote: nothing differs, and what differs is named."""

import zlib
from pathlib import Path

import msgspec
import pytest

from actors.host import HostSettings
from actors.messages.packet_in import PacketIn
from actors.state.document import compile_document, parse_document
from actors.state.journal import (
    InputRecord,
    JournalSettings,
    JournalWriter,
    Run,
    SegmentEnd,
)
from actors.state.journal_format import HEADER, KIND_INPUT, RECORD, JournalError, records, segments
from actors.state.journal_reader import InputRead, NetlinkRead, read_journal
from actors.state.replay import Replay
from actors.state.replay_trace import PacketTraces
from actors.state.what_if import what_if
from actors.values import ActorName, HostId
from tests.network import START, Network
from tests.wire import is_arp_request, is_at, ping, udp, who_has

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  left:
    ports:
      a: {host: h1, interface: a}
      b: {host: h2, interface: b}
      gw: {peer: r/left}
  right:
    ports:
      c: {host: h1, interface: c}
      gw: {peer: r/right}
routers:
  r:
    ports:
      left: {address: 10.0.1.1/24, mac: "02:00:00:00:01:01"}
      right: {address: 10.0.2.1/24, mac: "02:00:00:00:02:01"}
"""
A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
LEFT, RIGHT = "02:00:00:00:01:01", "02:00:00:00:02:01"
WORKFLOW = ActorName("packet-workflow")


def journaled(folder: Path, **settings: int) -> tuple[Network, dict[str, JournalWriter]]:
    """Return a started network whose hosts write journals, `folder/<host>`."""
    limit = settings.get("frame_limit", 2048)
    net = Network(TOPOLOGY, HostSettings(HostId(""), "", frame_limit=limit))
    writers = {}
    for name, host in net.hosts.items():
        encoded = msgspec.Raw(msgspec.msgpack.encode(host.settings))
        run = Run("test", name, START, limit, encoded)
        writers[name] = JournalWriter(JournalSettings(folder / name, **settings), run)
        host.lane.journal = writers[name]
    net.start()
    return net, writers


def talk(net: Network) -> None:
    """Let machines talk across the router, answer ARP, and expire."""
    net.send("a", who_has("10.0.1.1", A, "10.0.1.10"))
    net.send("a", udp(A, LEFT, "10.0.1.10", "10.0.2.12"))
    assert any(is_arp_request(frame, "10.0.2.12") for frame in net.delivered("c"))
    net.send("c", is_at(C, "10.0.2.12", RIGHT, "10.0.2.1"))
    net.send("a", udp(A, B, "10.0.1.10", "10.0.1.11"), udp(A, LEFT, "10.0.1.10", "10.0.2.99"))
    net.send("a", ping(A, LEFT, "10.0.1.10", "10.0.2.1"))
    net.send("b", udp(B, A, "10.0.1.11", "10.0.1.10"))
    net.send("a", udp(A, LEFT, "10.0.1.77", "10.0.2.12", payload=b"z" * 3000))
    net.advance(100)
    net.send("a", udp(A, LEFT, "10.0.1.10", "10.0.2.12", payload=b"z" * 3000))


def close(net: Network, writers: dict[str, JournalWriter]) -> None:
    for name, writer in writers.items():
        writer.close(net.hosts[name].lane.snapshot())


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of h1 of a network that has talked."""
    net, writers = journaled(tmp_path)
    talk(net)
    close(net, writers)
    return tmp_path / "h1"


def test_every_host_decides_again_as_it_did(tmp_path: Path) -> None:
    net, writers = journaled(tmp_path)
    talk(net)
    close(net, writers)
    for name, host in net.hosts.items():
        result = Replay(tmp_path / name).run()
        assert result.differences == []
        assert result.damage == []
        assert result.inputs == host.lane.inputs
        assert result.outputs > 10


def test_a_journal_of_many_segments_replays_across_their_borders(tmp_path: Path) -> None:
    net, writers = journaled(tmp_path, segment_size=256 * 1024)
    talk(net)
    for n in range(700):
        net.send("a", udp(A, LEFT, f"10.0.1.{n % 200 + 20}", "10.0.2.12", payload=b"y" * 900))
    close(net, writers)
    assert len(segments(tmp_path / "h1")) > 3
    result = Replay(tmp_path / "h1").run()
    assert (result.differences, result.damage) == ([], [])
    # A later segment stands on its own: it begins with the state.
    alone = Replay(segments(tmp_path / "h1")[2]).run()
    assert (alone.differences, alone.damage) == ([], [])
    assert alone.inputs > 0


def test_a_journal_of_cut_frames_replays(tmp_path: Path) -> None:
    net, writers = journaled(tmp_path, frame_limit=640)
    talk(net)
    close(net, writers)
    whole = [e for e in read_journal(tmp_path / "h1") if isinstance(e, InputRead)]
    assert any(isinstance(e.message, PacketIn) and e.message.whole_length for e in whole)
    assert any(isinstance(e, NetlinkRead) and e.cut for e in read_journal(tmp_path / "h1"))
    assert Replay(tmp_path / "h1").run().differences == []


def rewrite(path: Path, change: "type[InputRecord] | object", at: int) -> None:
    """Put another record body in place of the record number `at`; lengths may differ."""
    data = path.read_bytes()
    out = bytearray(data[: HEADER.size])
    for index, (kind, body) in enumerate(records(data)):
        new = bytes([kind]) + (change if index == at else bytes(body))  # type: ignore[operator]
        out += RECORD.pack(len(new), zlib.crc32(new)) + new
    path.write_bytes(out)


def test_an_input_that_was_tampered_with_shows_as_the_first_difference(journal: Path) -> None:
    segment = segments(journal)[0]
    for index, (kind, body) in enumerate(records(segment.read_bytes())):
        if kind != KIND_INPUT:
            continue
        entry = msgspec.msgpack.decode(body, type=InputRead)
        if isinstance(entry.message, PacketIn) and entry.message.frame[12:14] == b"\x08\x00":
            other = msgspec.structs.replace(entry.message, frame=entry.message.frame + b"!")
            record = InputRecord(entry.number, entry.to, other)
            rewrite(segment, msgspec.msgpack.encode(record), index)
            break
    result = Replay(journal).run()
    (difference,) = result.differences
    assert difference.input >= entry.number
    assert difference.what.startswith("output")
    assert difference.recorded != difference.replayed


def test_a_replay_stops_where_it_is_told_to(journal: Path) -> None:
    result = Replay(journal).run(until=10)
    assert result.inputs == 10
    assert result.differences == []


def test_a_replay_refuses_what_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        Replay(tmp_path / "nothing").run()
    with pytest.raises(JournalError, match="no journal segments"):
        Replay(tmp_path).run()
    (tmp_path / "00000001.journal").write_bytes(b"something else entirely")
    with pytest.raises(JournalError, match="no journal segment"):
        Replay(tmp_path).run()


def test_traces_tell_each_packets_path_verdict_and_flow(journal: Path) -> None:
    replay, traces = Replay(journal), PacketTraces()

    def delivered(actor: ActorName, message: object) -> None:
        assert replay.lane is not None
        traces.delivered(replay.lane, actor, message)

    replay.observer = delivered
    replay.run()
    routed = [t for t in traces.finished if "dst=10.0.2.12" in t.match]
    assert routed[0].path == [
        "bridge left (left/a)",
        "router r (r/left)",
        "bridge right (right/gw)",
    ]
    assert routed[0].waited
    assert "out by right/c" in routed[0].verdict
    unanswered = [t for t in traces.finished if "dst=10.0.2.99" in t.match]
    assert "next hop does not answer" in unanswered[0].verdict


def test_what_if_tells_the_packets_that_would_fare_differently(journal: Path) -> None:
    same = what_if(journal, compile_document(parse_document(TOPOLOGY, "same")))
    assert same.changed == ()
    assert same.packets > 5
    other = TOPOLOGY + "    routes: [{to: 10.0.2.12/32, action: blackhole}]\n"
    answer = what_if(journal, compile_document(parse_document(other, "other")))
    fates = {c.would_be.verdict for c in answer.changed if c.would_be is not None}
    assert answer.changed
    assert any("dst=10.0.2.12" in c.was.match for c in answer.changed)
    assert "ended: blackhole route, plain flow" in fates
    assert len(answer.changed) < answer.packets


def test_the_closing_state_is_compared(journal: Path) -> None:
    segment = segments(journal)[-1]
    last = len(list(records(segment.read_bytes()))) - 1
    end = list(read_journal(segment))[-1]
    assert isinstance(end, SegmentEnd)
    wrong = msgspec.structs.replace(end, closing=end.closing ^ 1)
    rewrite(segment, msgspec.msgpack.encode(wrong), last)
    (difference,) = Replay(journal).run().differences
    assert difference.what == "the state at the end of a segment"
