"""The receiving end of systemd's notify protocol."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.lab.notify import Notice, NotifySocket, parse


@pytest.mark.parametrize(
    ("datagram", "notice"),
    [
        (b"READY=1", Notice(ready=True)),
        (b"READY=1\nSTATUS=3 ports\n", Notice(ready=True, status="3 ports")),
        (b"STOPPING=1", Notice(stopping=True)),
        (b"READY=0", Notice()),
        (b"WATCHDOG=1\nMAINPID=7", Notice()),
        (b"STATUS=a=b", Notice(status="a=b")),
        (b"", Notice()),
    ],
)
def test_a_datagram_says_what_its_lines_say(datagram: bytes, notice: Notice) -> None:
    assert parse(datagram) == notice


@given(st.binary(max_size=200))
def test_no_datagram_is_an_error(datagram: bytes) -> None:
    parse(datagram)


def test_a_service_is_heard_through_its_socket_which_goes_away_with_it(tmp_path: Path) -> None:
    path = tmp_path / "n"
    receiver = NotifySocket(path)
    assert receiver.read() == ()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
        service.connect(str(path))
        service.send(b"STATUS=starting")
        service.send(b"READY=1")
    assert receiver.read() == (Notice(status="starting"), Notice(ready=True))
    receiver.close()
    assert not path.exists()


def test_a_dead_services_socket_is_replaced(tmp_path: Path) -> None:
    first = NotifySocket(tmp_path / "n")
    second = NotifySocket(tmp_path / "n")
    first.close()
    second.close()
