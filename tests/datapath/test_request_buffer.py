"""The broker's buffer: batches, chunks that wait, and what is reported when nothing fits."""

import struct

from actors.datapath.request_buffer import SEND_AT, RequestBuffer
from actors.datapath.sequence import (
    CREATE_BITS,
    DELETE_BITS,
    KIND_CREATE,
    KIND_DELETE,
    NUMBER_MASK,
    flow_of,
    kind_of,
)

EAGAIN, EPIPE, ENOBUFS = 11, 32, 105


class Socket:
    """Takes what it is sent, or answers with the errno it is told."""

    def __init__(self) -> None:
        self.error = 0
        self.sent: list[bytes] = []

    def send(self, data: memoryview) -> int:
        if self.error:
            return self.error
        self.sent.append(bytes(data))
        return 0


def message(sequence: int, size: int = 64) -> bytes:
    return struct.pack("=IHHI", size, 1, 1, sequence).ljust(size, b"\0")


class Buffered:
    """A buffer of 4 chunks of 512 bytes, and what it reported as failed."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.failed: list[tuple[int, tuple[int, ...]]] = []
        self.buffer = RequestBuffer(
            self.socket.send,
            lambda error, sequences: self.failed.append((error, sequences)),
            chunk_size=512,
            chunks=4,
        )

    def write(self, *sequences: int, size: int = 64) -> None:
        for sequence in sequences:
            start = self.buffer.reserve(size)
            self.buffer.buffer[start : start + size] = message(sequence, size)
            self.buffer.commit(start + size)


def test_requests_gather_until_they_are_flushed_and_leave_in_one_send() -> None:
    it = Buffered()
    it.write(1, 2, 3)
    assert it.socket.sent == []
    it.buffer.flush()
    assert it.socket.sent == [message(1) + message(2) + message(3)]
    it.buffer.flush()
    assert len(it.socket.sent) == 1, "nothing waits any more"


def test_a_full_chunk_leaves_by_itself() -> None:
    it = Buffered()
    it.write(*range(20))
    it.buffer.flush()
    assert b"".join(it.socket.sent) == b"".join(message(n) for n in range(20))
    assert len(it.socket.sent) == 3


def test_enough_bytes_are_sent_without_being_asked() -> None:
    socket = Socket()
    buffer = RequestBuffer(socket.send, lambda *_: None)
    start = buffer.reserve(SEND_AT)
    buffer.buffer[start : start + SEND_AT] = message(1, SEND_AT)
    buffer.commit(start + SEND_AT)
    assert len(socket.sent) == 1


def test_what_a_full_socket_did_not_take_is_sent_later_and_in_order() -> None:
    it = Buffered()
    it.socket.error = EAGAIN
    it.write(*range(20))
    it.buffer.flush()
    assert it.socket.sent == []
    it.socket.error = 0
    it.write(20)
    it.buffer.flush()
    it.buffer.flush()
    assert b"".join(it.socket.sent) == b"".join(message(n) for n in range(21))
    assert it.failed == []


def test_when_every_chunk_waits_the_newest_requests_are_given_up_and_named() -> None:
    it = Buffered()
    it.socket.error = ENOBUFS
    it.write(*range(40))
    given_up = [sequence for _, sequences in it.failed for sequence in sequences]
    assert given_up
    it.socket.error = 0
    it.buffer.flush()
    it.buffer.flush()
    sent = [
        struct.unpack_from("=I", s, at + 8)[0]
        for s in it.socket.sent
        for at in range(0, len(s), 64)
    ]
    assert sorted(sent + given_up) == list(range(40)), "each was sent or reported, never both"


def test_requests_that_a_broken_socket_refused_are_named_at_once() -> None:
    it = Buffered()
    it.socket.error = EPIPE
    it.write(5, 6)
    it.buffer.flush()
    assert it.failed == [(EPIPE, (5, 6))]
    it.socket.error = 0
    it.write(7)
    it.buffer.flush()
    assert it.socket.sent == [message(7)]


def test_a_request_that_can_never_fit_is_refused() -> None:
    assert Buffered().buffer.reserve(513) == -1


def test_what_was_not_sent_to_a_datapath_that_is_gone_is_forgotten() -> None:
    it = Buffered()
    it.socket.error = EAGAIN
    it.write(*range(12))
    it.buffer.discard()
    it.socket.error = 0
    it.write(99)
    it.buffer.flush()
    assert it.socket.sent == [message(99)]


def test_a_sequence_number_finds_its_flow_also_after_a_turn_of_the_counter() -> None:
    for flow in (1, 77, NUMBER_MASK, NUMBER_MASK + 1, 5 * (NUMBER_MASK + 1) + 3):
        low = flow & NUMBER_MASK
        assert flow_of(CREATE_BITS | low, flow + 1) == flow
        assert flow_of(DELETE_BITS | low, flow + 1_000_000) == flow
        assert kind_of(CREATE_BITS | low) == KIND_CREATE
        assert kind_of(DELETE_BITS | low) == KIND_DELETE
