"""The ingress guard, with nf_tables and without."""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actors.datapath.soft.ingress_guard import IngressGuard
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not namespaces_are_permitted(), reason="may not make network namespaces"),
]
_ADDRESS = "10.0.0.99"


@pytest.fixture
def hosts() -> Iterator[tuple[Namespace, Namespace]]:
    with Namespace() as host, Namespace() as guest:
        host.veth("port", guest, "eth0")
        host.address("port", _ADDRESS, 24)
        guest.address("eth0", "10.0.0.1", 24)
        guest.neighbour("eth0", _ADDRESS, host.mac("port"))
        yield host, guest


def _answers(guest: Namespace, patience: float = 20.0) -> bool:
    """Whether the host's stack refuses datagrams, as it does when it gets them."""
    with guest.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((_ADDRESS, 9))
        probe.settimeout(patience)
        try:
            probe.send(b"probe")
            probe.recv(1)
        except TimeoutError:
            return False
        except ConnectionRefusedError:
            return True
    raise AssertionError


def test_a_protected_link_is_silent_until_it_is_released(
    hosts: tuple[Namespace, Namespace],
) -> None:
    host, guest = hosts
    assert _answers(guest)
    guard = host.run(IngressGuard)
    host.run(lambda: guard.protect("port"))
    assert not _answers(guest, 0.2)
    host.run(lambda: guard.release("port"))
    assert _answers(guest)
    host.run(lambda: guard.protect("port"))
    host.run(guard.close)
    assert _answers(guest)


def test_links_are_protected_apart_and_one_that_went_away_is_released_too(
    hosts: tuple[Namespace, Namespace],
) -> None:
    host, guest = hosts
    host.veth("other", host, "other-peer")
    guard = host.run(IngressGuard)
    host.run(lambda: guard.protect("port"))
    host.run(lambda: guard.protect("other"))
    host.delete_link("other")
    host.run(lambda: guard.release("other"))
    assert not _answers(guest, 0.2)
    host.run(guard.close)


def _setting(host: Namespace, name: str) -> str:
    return host.run(lambda: Path(f"/proc/sys/net/{name}").read_text().strip())


def test_without_nf_tables_the_link_falls_silent_by_sysctl_and_says_so(
    hosts: tuple[Namespace, Namespace],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    host, _ = hosts

    def missing(guard: IngressGuard, link: str) -> None:
        raise OSError(errno.EOPNOTSUPP, f"{guard} cannot protect {link}")

    monkeypatch.setattr(IngressGuard, "_add_chain", missing)
    names = ("ipv4/conf/port/arp_ignore", "ipv6/conf/port/disable_ipv6")
    with ExitStack() as stack, caplog.at_level(logging.WARNING):
        guard = host.run(IngressGuard)
        stack.callback(host.run, guard.close)
        host.run(lambda: guard.protect("port"))
        assert [_setting(host, name) for name in names] == ["8", "1"]
        assert "nf_tables is not usable" in caplog.text
    assert [_setting(host, name) for name in names] == ["0", "0"]
