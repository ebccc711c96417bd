"""What the packet path's requests look like, and where they are written."""

import sys
from collections.abc import Callable

import pytest

from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.requests import (
    DeleteFlow,
    ExecutePacket,
    NewFlow,
)
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import MOST_FORMS, RequestWriter
from actors.datapath.sequence import (
    KIND_CREATE,
    KIND_DELETE,
    KIND_EXECUTE,
    NUMBER_MASK,
    kind_of,
)
from tests.datapath.odp import cases

FAMILIES = Families(20, 21, 22, 23)
EPOCH = 0x0102030405060708
KEY, MASK, ACTIONS = cases.UDP_KEY, cases.EMPTY_MASK, cases.OUTPUT


class Desk:
    """A writer, its buffer, and what was recorded and sent."""

    def __init__(self, **sizes: int) -> None:
        self.recorded: list[tuple[bytes, int]] = []
        self.sent: list[bytes] = []
        self.requests = RequestBuffer(self._send, lambda _error, _sequences: None, **sizes)
        self.writer = RequestWriter(self.requests, FAMILIES, 3, EPOCH, self._record)

    def _send(self, data: memoryview) -> int:
        self.sent.append(bytes(data))
        return 0

    def _record(self, message: memoryview, frame_length: int) -> None:
        self.recorded.append((bytes(message), frame_length))

    def flush(self) -> bytes:
        self.requests.flush()
        return b"".join(self.sent)


Write = Callable[[RequestWriter], object]
WRITES: dict[str, Write] = {
    "create": lambda writer: writer.flow_creates((7,), (KEY,), MASK, ACTIONS),
    "delete": lambda writer: writer.flow_deletes((7,)),
    "execute": lambda writer: writer.packet_executes(7, (KEY,), (ACTIONS,), (bytes(range(15)),)),
}


def ufid(number: int) -> bytes:
    return EPOCH.to_bytes(8) + number.to_bytes(8, sys.byteorder)


def test_a_flow_create_says_all_of_the_flow() -> None:
    desk = Desk()
    desk.writer.flow_creates((7,), (KEY,), MASK, ACTIONS)
    (request,) = decode_request(desk.flush(), FAMILIES)
    assert request.body == NewFlow(3, KEY, ACTIONS, MASK, ufid(7))
    assert kind_of(request.header.seq) == KIND_CREATE
    assert request.header.flags == c.NLM_F_REQUEST | c.NLM_F_CREATE


def test_a_flow_delete_asks_for_statistics_alone() -> None:
    desk = Desk()
    desk.writer.flow_deletes((7,))
    (request,) = decode_request(desk.flush(), FAMILIES)
    omit = c.OVS_UFID_F_OMIT_KEY | c.OVS_UFID_F_OMIT_MASK | c.OVS_UFID_F_OMIT_ACTIONS
    assert request.body == DeleteFlow(3, ufid(7), None, omit)
    assert kind_of(request.header.seq) == KIND_DELETE
    assert request.header.flags == c.NLM_F_REQUEST | c.NLM_F_ECHO


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 60, 61, 1514, 65000])
def test_a_packet_execute_brings_the_whole_frame(length: int) -> None:
    desk = Desk()
    frame = bytes(n & 0xFF for n in range(1, length + 1))
    for _ in range(2):  # what the first left in the buffer is no padding
        desk.writer.packet_executes(7, (KEY,), (ACTIONS,), (frame,))
    first, second = decode_request(desk.flush(), FAMILIES)
    assert first.body == second.body == ExecutePacket(3, KEY, ACTIONS, frame)
    assert kind_of(first.header.seq) == KIND_EXECUTE
    assert desk.recorded[0][1] == length


def test_a_frames_padding_is_zero_whatever_was_in_the_buffer() -> None:
    desk = Desk()
    desk.requests.buffer[:400] = b"\xff" * 400
    desk.writer.packet_executes(7, (KEY,), (ACTIONS,), (b"\1\2\3\4\5",))
    assert desk.flush().endswith(b"\1\2\3\4\5\0\0\0")


def test_requests_follow_each_other_in_the_buffer_as_they_were_recorded() -> None:
    desk = Desk()
    for write in WRITES.values():
        write(desk.writer)
    assert desk.flush() == b"".join(message for message, _ in desk.recorded)
    assert len(desk.recorded) == len(WRITES)


@pytest.mark.parametrize("name", WRITES)
def test_a_request_that_does_not_fit_behind_the_last_begins_another_chunk(name: str) -> None:
    desk = Desk(chunk_size=400, send_at=10_000)
    for _ in range(20):
        WRITES[name](desk.writer)
    assert desk.flush() == b"".join(message for message, _ in desk.recorded)
    assert all(len(sent) <= 400 for sent in desk.sent)


@pytest.mark.parametrize(("name", "answer"), [("create", False), ("execute", 1)])
def test_a_request_larger_than_a_chunk_is_refused_and_leaves_no_trace(
    name: str, answer: object
) -> None:
    desk = Desk(chunk_size=100)
    assert WRITES[name](desk.writer) == answer
    assert not desk.flush()
    assert not desk.recorded


@pytest.mark.parametrize("name", WRITES)
def test_what_has_gathered_is_sent_when_it_is_worth_a_send(name: str) -> None:
    desk = Desk(send_at=1)
    WRITES[name](desk.writer)
    assert desk.sent == [desk.recorded[0][0]]


@pytest.mark.parametrize(
    ("key", "mask", "actions"),
    [
        (b"odd", MASK, ACTIONS),
        (KEY, b"odd", ACTIONS),
        (KEY, MASK, b"odd"),
        (bytes(65536), MASK, ACTIONS),
        (KEY, bytes(65536), ACTIONS),
    ],
)
def test_flows_that_cannot_be_expressed_are_refused(
    key: bytes, mask: bytes, actions: bytes
) -> None:
    desk = Desk()
    assert not desk.writer.flow_creates((1, 2), (key, key), mask, actions)
    assert not desk.flush()


@pytest.mark.parametrize(
    ("key", "actions", "frame"),
    [(b"odd", ACTIONS, b""), (KEY, b"odd", b""), (KEY, ACTIONS, bytes(65536))],
)
def test_packets_that_cannot_be_expressed_are_counted_and_those_beside_them_go(
    key: bytes, actions: bytes, frame: bytes
) -> None:
    desk = Desk()
    refused = desk.writer.packet_executes(
        1, (KEY, key, KEY), (ACTIONS, actions, ACTIONS), (b"1", frame, b"3")
    )
    assert refused == 1
    assert [r.body for r in decode_request(desk.flush(), FAMILIES)] == [
        ExecutePacket(3, KEY, ACTIONS, b"1"),
        ExecutePacket(3, KEY, ACTIONS, b"3"),
    ]


def test_flows_that_are_written_together_are_as_those_written_alone() -> None:
    keys = [KEY[:-4] + n.to_bytes(4) for n in range(60)]
    together, alone = Desk(), Desk()
    together.writer.flow_creates(range(60), keys, MASK, ACTIONS)
    together.writer.flow_deletes(range(60))
    for n, key in enumerate(keys):
        alone.writer.flow_creates((n,), (key,), MASK, ACTIONS)
    for n in range(60):
        alone.writer.flow_deletes((n,))
    assert together.flush() == alone.flush()
    assert b"".join(message for message, _ in together.recorded) == together.flush()
    assert len(together.recorded) < len(alone.recorded)
    assert list(map(len, together.sent)) == list(map(len, alone.sent))


def test_packets_keep_their_order_and_their_own_actions_whatever_their_forms() -> None:
    desk = Desk()
    other = ACTIONS[:4] + (9).to_bytes(4)
    todo = [ACTIONS, other, ACTIONS, ACTIONS, other]
    frames = [b"a" * 10, b"b" * 10, b"c" * 11, b"d" * 11, b"e" * 2000]
    first = NUMBER_MASK - 2
    assert desk.writer.packet_executes(first, [KEY] * 5, todo, frames) == 0
    requests = decode_request(desk.flush(), FAMILIES)
    assert [r.body for r in requests] == [
        ExecutePacket(3, KEY, actions, frame) for actions, frame in zip(todo, frames, strict=True)
    ]
    assert [r.header.seq & NUMBER_MASK for r in requests] == [first, first + 1, first + 2, 0, 1]
    assert {kind_of(r.header.seq) for r in requests} == {KIND_EXECUTE}
    assert [length for _, length in desk.recorded] == list(map(len, frames))


def test_a_datapath_with_numbers_out_of_range_is_refused() -> None:
    requests = Desk().requests
    for families, ifindex, epoch in (
        (Families(20, 21, 70000, 23), 3, 1),
        (Families(20, 21, 22, 70000), 3, 1),
        (FAMILIES, 1 << 31, 1),
        (FAMILIES, 3, 1 << 64),
    ):
        with pytest.raises(OdpError):
            RequestWriter(requests, families, ifindex, epoch)


def test_more_forms_than_are_kept_are_still_written_rightly() -> None:
    desk = Desk()
    for number in range(MOST_FORMS + 10):
        actions = ACTIONS[:4] + number.to_bytes(4)
        desk.writer.flow_creates((number,), (KEY,), MASK, actions)
        desk.writer.packet_executes(number, (KEY,), (actions,), (b"",))
    requests = decode_request(desk.recorded[-2][0] + desk.recorded[-1][0], FAMILIES)
    last = ACTIONS[:4] + (MOST_FORMS + 9).to_bytes(4)
    assert [r.body for r in requests] == [
        NewFlow(3, KEY, last, MASK, ufid(MOST_FORMS + 9)),
        ExecutePacket(3, KEY, last, b""),
    ]
