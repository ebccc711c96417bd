"""The request buffer: order, chunks, and what becomes of requests that the socket does not take."""

import struct

from actors.datapath.request_buffer import CHUNK_SIZE, SEND_AT, RequestBuffer

EAGAIN, ENOBUFS, EPIPE = 11, 105, 32


class Socket:
    """Takes what it is given, unless told to refuse."""

    def __init__(self) -> None:
        self.error = 0
        self.taken: list[bytes] = []
        self.failed: list[tuple[int, tuple[int, ...]]] = []

    def send(self, data: memoryview) -> int:
        if not self.error:
            self.taken.append(bytes(data))
        return self.error

    def sequences(self) -> list[int]:
        data = b"".join(self.taken)
        found = []
        at = 0
        while at < len(data):
            length, _, _, sequence = struct.unpack_from("=IHHI", data, at)
            found.append(sequence)
            at += length + 3 & ~3
        return found


def small(**sizes: int) -> tuple[Socket, RequestBuffer]:
    socket = Socket()
    buffer = RequestBuffer(
        socket.send, lambda error, sequences: socket.failed.append((error, sequences)), **sizes
    )
    return socket, buffer


def write(buffer: RequestBuffer, sequence: int, size: int = 100) -> bool:
    start = buffer.reserve(size)
    if start < 0:
        return False
    struct.pack_into("=IHHI", buffer.buffer, start, size, 0, 0, sequence)
    buffer.commit(start + size)
    return True


def test_requests_gather_until_they_are_worth_a_send() -> None:
    socket, buffer = small()
    for sequence in range(SEND_AT // 100):
        write(buffer, sequence)
    assert len(socket.taken) == 1
    write(buffer, 99)
    assert len(socket.taken) == 1
    buffer.flush()
    assert socket.sequences() == [*range(31), 99]
    buffer.flush()
    assert buffer.sends == 2, "nothing is sent when nothing waits"


def test_request_larger_than_a_chunk_is_refused() -> None:
    _, buffer = small()
    assert buffer.reserve(CHUNK_SIZE) >= 0
    assert buffer.reserve(CHUNK_SIZE + 1) == -1


def test_requests_that_a_full_socket_does_not_take_go_out_later_in_order() -> None:
    for error in (EAGAIN, ENOBUFS):
        socket, buffer = small(chunk_size=1000, chunks=4)
        socket.error = error
        for sequence in range(25):
            assert write(buffer, sequence)
        assert socket.taken == []
        assert socket.failed == []
        socket.error = 0
        buffer.flush()
        assert socket.sequences() == list(range(25))


def test_when_all_chunks_wait_the_newest_requests_are_given_up_and_named() -> None:
    socket, buffer = small(chunk_size=1000, chunks=2)
    socket.error = ENOBUFS
    for sequence in range(31):
        write(buffer, sequence)
    given_up = [s for _, sequences in socket.failed for s in sequences]
    assert given_up
    assert {error for error, _ in socket.failed} == {ENOBUFS}
    socket.error = 0
    buffer.flush()
    assert sorted([*socket.sequences(), *given_up]) == list(range(31)), "each once"
    assert socket.sequences() == sorted(socket.sequences())


def test_requests_to_a_socket_that_is_gone_are_reported_and_forgotten() -> None:
    socket, buffer = small()
    socket.error = EPIPE
    for sequence in range(3):
        write(buffer, sequence)
    buffer.flush()
    assert socket.failed == [(EPIPE, (0, 1, 2))]
    socket.error = 0
    write(buffer, 7)
    buffer.flush()
    assert socket.sequences() == [7]


def test_chunk_that_waited_for_a_socket_that_is_gone_is_reported_too() -> None:
    socket, buffer = small(chunk_size=1000, chunks=4)
    socket.error = EAGAIN
    write(buffer, 1)
    buffer.flush()
    socket.error = EPIPE
    write(buffer, 2)
    buffer.flush()
    assert [s for _, sequences in socket.failed for s in sequences] == [1, 2]


def test_discarded_requests_are_never_sent() -> None:
    socket, buffer = small(chunk_size=1000, chunks=2)
    socket.error = EAGAIN
    for sequence in range(15):
        write(buffer, sequence)
    buffer.discard()
    socket.error = 0
    write(buffer, 99)
    buffer.flush()
    assert socket.sequences() == [99]
