"""Datagrams that wait are received in order, at once or one by one."""

import errno
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from actors.datapath.receive_many import RECVMMSG, ReceiveMany

Pair = tuple[socket.socket, socket.socket]
WAYS = {"at once": RECVMMSG, "one by one": None}


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


@pytest.fixture(params=WAYS)
def make(request: pytest.FixtureRequest) -> Callable[[int, int], ReceiveMany]:
    way = WAYS[request.param]
    return lambda size, most: ReceiveMany(size, most, way)


Make = Callable[[int, int], ReceiveMany]


def test_what_waits_is_received_in_its_order(make: Make, pair: Pair) -> None:
    near, far = pair
    sent = [bytes([n]) * (n + 1) for n in range(5)]
    for datagram in sent:
        far.send(datagram)
    receive = make(64, 8)
    assert receive(near) == sent
    far.send(b"more")
    assert receive(near) == [b"more"]


def test_no_more_than_was_asked_for_is_received_at_once(make: Make, pair: Pair) -> None:
    near, far = pair
    for number in range(5):
        far.send(bytes([number]))
    receive = make(64, 3)
    assert receive(near) == [b"\0", b"\1", b"\2"]
    assert receive(near) == [b"\3", b"\4"]


def test_one_buffer_serves_several_sockets(make: Make, pair: Pair) -> None:
    near, far = pair
    receive = make(64, 4)
    far.send(b"to the near")
    near.send(b"to the far")
    assert receive(near) == [b"to the near"]
    assert receive(far) == [b"to the far"]


def test_what_was_returned_stays_as_it_was(make: Make, pair: Pair) -> None:
    near, far = pair
    receive = make(64, 4)
    far.send(b"first")
    first = receive(near)
    far.send(b"later")
    receive(near)
    assert first == [b"first"]


def test_it_waits_for_the_first_datagram_only(make: Make, pair: Pair) -> None:
    near, far = pair
    receive = make(64, 4)
    received: list[bytes] = []
    thread = threading.Thread(target=lambda: received.extend(receive(near)))
    thread.start()
    far.send(b"came late")
    thread.join(5)
    assert received == [b"came late"]


def test_nothing_there_and_not_to_block_is_an_error(make: Make, pair: Pair) -> None:
    receive = make(64, 4)
    with pytest.raises(BlockingIOError):
        receive(pair[0], socket.MSG_DONTWAIT)


def test_what_is_too_long_is_counted_and_left_out(make: Make, pair: Pair) -> None:
    near, far = pair
    for datagram in (b"fits", b"x" * 9, b"too"):
        far.send(datagram)
    receive = make(8, 4)
    assert receive(near) == [b"fits", b"too"]
    assert receive.truncated == 1


def test_the_end_of_a_stream_is_an_empty_datagram(make: Make, pair: Pair) -> None:
    near, far = pair
    far.send(b"last")
    far.shutdown(socket.SHUT_WR)
    receive = make(64, 4)
    received = receive(near)
    assert received[0] == b"last"
    assert not any(received[1:])
    assert make(64, 4)(near)[0] == b""


def test_a_closed_socket_is_an_error(make: Make, pair: Pair) -> None:
    receive = make(64, 4)
    pair[0].close()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        receive(pair[0])
    assert caught.value.errno == errno.EBADF


def test_an_error_loses_no_datagram_that_had_come(make: Make) -> None:
    """A datagram socket's peer that is gone leaves ECONNREFUSED, and what it had sent."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        near.bind(("127.0.0.1", 0))
        far.bind(("127.0.0.1", 0))
        near.connect(far.getsockname())
        far.sendto(b"last words", near.getsockname())
        far.close()
        receive = make(64, 4)
        near.send(b"to nobody")
        with pytest.raises(ConnectionRefusedError):
            receive(near)
        assert receive(near) == [b"last words"]
