"""The control socket carries whole messages and descriptors, and survives what is neither."""

import os
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import CommandError, ExitStatus
from cli.lab.control import Disconnected, call, is_ours, listen, receive, send


def test_a_message_arrives_whole_however_long_it_is() -> None:
    message = {"op": "x", "text": "ä" * 300_000}
    left, right = socket.socketpair()
    with left, right:
        sender = threading.Thread(target=send, args=(left, message))
        sender.start()
        assert receive(right) == (message, ())
        sender.join()


def test_descriptors_travel_with_a_message() -> None:
    left, right = socket.socketpair()
    reader, writer = os.pipe()
    with left, right:
        send(left, {"ok": True}, (reader, writer))
        message, descriptors = receive(right)
    assert message == {"ok": True}
    assert [os.fstat(each).st_ino for each in descriptors] == [
        os.fstat(each).st_ino for each in (reader, writer)
    ]
    assert not any(os.get_inheritable(each) for each in descriptors)
    for each in (reader, writer, *descriptors):
        os.close(each)


@given(st.binary(max_size=64))
def test_whatever_else_arrives_is_a_disconnection(data: bytes) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\0\0\0\x08" + data[:8] if len(data) > 32 else data)
        left.shutdown(socket.SHUT_WR)
        with pytest.raises(Disconnected):
            receive(right)


def test_a_length_beyond_the_limit_is_refused_before_it_is_read() -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"\xff\xff\xff\xff{}")
        with pytest.raises(Disconnected, match="bytes"):
            receive(right)


def test_a_keeper_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="keeper is gone") as refusal:
        call(tmp_path / "control", {"op": "status"}, 1.0)
    assert refusal.value.status == ExitStatus.NOT_FOUND


def test_a_keeper_that_says_nothing_is_waited_for_so_long_and_no_longer(tmp_path: Path) -> None:
    with listen(tmp_path / "c"), pytest.raises(CommandError) as refusal:
        call(tmp_path / "c", {"op": "status"}, 0.05)
    assert refusal.value.status == ExitStatus.TIMED_OUT


def test_the_socket_is_its_owners_alone_and_its_owner_is_known(tmp_path: Path) -> None:
    with listen(tmp_path / "c") as listener:
        assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "c"))
            connection, _ = listener.accept()
            with connection:
                assert is_ours(connection)
