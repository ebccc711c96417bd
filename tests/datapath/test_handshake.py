"""The handshake: features that a datapath offers or not, and what stands in its way."""

import errno

import pytest

from actors.datapath.dialogue import DatapathUnavailableError
from actors.datapath.handshake import Agreement, shake_hands
from actors.datapath.odp import constants as c
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.replies import DatapathInfo
from actors.datapath.odp.reply_encoding import encode_ack, encode_reply
from actors.datapath.odp.requests import SetDatapath
from actors.datapath.soft.families import AGENT_PID, FAMILIES
from actors.values import Nanoseconds
from tests.network_datapath import MemoryDatapath

AT = Nanoseconds(1)


class PerPort(MemoryDatapath):
    """A datapath that has upcalls go to a port id of each vport, as the kernel's does."""

    upcall_pid = 0

    def __init__(self, refuse_with: int | None = None) -> None:
        """With `refuse_with` it answers wishes for dispatch by CPU so; 0 grants them."""
        super().__init__({}, lambda *_: None)
        self._by_cpu = refuse_with
        self._opened = 1000
        self.open: list[int] = []
        self.told: tuple[int, ...] = ()
        self.ignored = 0
        """Features that it takes no notice of, and does not say that it has."""

    def open_upcalls(self) -> int:
        self._opened += 1
        self.open.append(self._opened)
        return self._opened

    def close_upcalls(self, pid: int) -> None:
        self.open.remove(pid)

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        (request,) = decode_request(bytes(requests), FAMILIES)
        body = request.body
        if not isinstance(body, SetDatapath) or self._by_cpu is None:
            return super().send(requests)
        if self._by_cpu:
            self.replies.append(encode_ack(request.header, AGENT_PID, self._by_cpu))
            return 0
        self.told = body.per_cpu_pids
        features = body.user_features & ~self.ignored
        info = DatapathInfo(
            request.header.seq, c.OVS_DP_CMD_SET, 1, body.name, user_features=features
        )
        self.replies.append(encode_reply(info, families=FAMILIES, pid=AGENT_PID))
        return 0


def _assert_by_port(channel: PerPort, agreement: Agreement) -> None:
    assert agreement.connected.upcall_pid == 0
    assert agreement.features.upcalls == "port"
    assert not channel.open


def test_upcalls_go_by_cpu_where_that_is_offered() -> None:
    channel = PerPort(refuse_with=0)
    agreement = shake_hands(channel, AT, upcalls_by_cpu=True)
    assert channel.told == tuple(channel.open)
    assert agreement.connected.upcall_pid == channel.open[0]
    assert agreement.features.upcalls == "cpu"


@pytest.mark.parametrize("error", [errno.EINVAL, errno.EOPNOTSUPP])
def test_upcalls_go_by_port_where_dispatch_by_cpu_is_not_offered(error: int) -> None:
    channel = PerPort(refuse_with=error)
    _assert_by_port(channel, shake_hands(channel, AT, upcalls_by_cpu=True))


def test_the_soft_datapath_refuses_dispatch_by_cpu_as_an_old_kernel_does() -> None:
    channel = PerPort()
    _assert_by_port(channel, shake_hands(channel, AT, upcalls_by_cpu=True))


def test_upcalls_go_by_port_where_dispatch_by_cpu_is_ignored() -> None:
    channel = PerPort(refuse_with=0)
    channel.ignored = c.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
    _assert_by_port(channel, shake_hands(channel, AT, upcalls_by_cpu=True))


def test_upcalls_by_cpu_that_fail_for_another_reason_are_an_error() -> None:
    channel = PerPort(refuse_with=errno.ENOMEM)
    with pytest.raises(DatapathUnavailableError, match="no upcalls by CPU"):
        shake_hands(channel, AT, upcalls_by_cpu=True)
    assert not channel.open


def test_nobody_asks_for_dispatch_by_cpu_unless_told() -> None:
    channel = PerPort(refuse_with=errno.ENOMEM)
    _assert_by_port(channel, shake_hands(channel, AT))


def test_a_datapath_that_is_there_is_taken_over() -> None:
    channel = PerPort()
    first = shake_hands(channel, AT).connected
    again = shake_hands(channel, AT).connected
    assert not first.inherited
    assert again.inherited
    assert again.datapath_index == first.datapath_index
