"""The handshake on real datapaths: what is agreed on, and that finding out leaves nothing behind."""

import ctypes
import errno
import struct
from collections.abc import Iterator

import pytest

from actors.datapath.channel import DatapathChannel
from actors.datapath.dialogue import Dialogue
from actors.datapath.features import Features
from actors.datapath.handshake import DATAPATH_NAME, Agreement, shake_hands
from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import Acknowledged, DatapathInfo, FlowInfo, NetlinkRefused
from actors.datapath.odp.requests import DeleteDatapath, GetDatapath, GetFlow, NewFlow
from actors.values import Nanoseconds
from tests.datapath.conformance.bench import OpenChannel
from tests.datapath.soft.namespaces import Namespace

_UFID = bytes(range(16))
_KEY = b"".join(
    (
        attribute(c.OVS_KEY_ATTR_IN_PORT, struct.pack("=I", 7)),
        attribute(c.OVS_KEY_ATTR_ETHERNET, bytes(12)),
        attribute(c.OVS_KEY_ATTR_ETHERTYPE, b"\x88\xcc"),
    )
)
_ETHERNET_ONLY = attribute(c.OVS_KEY_ATTR_ETHERNET, bytes(12))
_LOG_SIZE = 1 << 18
_READ_ALL = 3  # SYSLOG_ACTION_READ_ALL


class Host:
    """A namespace of its own, with a channel to its datapath."""

    def __init__(self, namespace: Namespace, open_channel: OpenChannel) -> None:
        self._namespace = namespace
        self.channel: DatapathChannel = namespace.run(open_channel)
        self._dialogue = Dialogue(self.channel)

    def shake_hands(self, *, upcalls_by_cpu: bool = False) -> Agreement:
        agreement = shake_hands(self.channel, Nanoseconds(1), upcalls_by_cpu=upcalls_by_cpu)
        told = agreement.connected
        self._dialogue.families = Families(
            told.datapath_family, told.vport_family, told.flow_family, told.packet_family
        )
        return agreement

    def ask(self, body: NewFlow | GetFlow | DeleteDatapath, flags: int = 0) -> object:
        return self._dialogue.ask(body, flags)

    def info(self) -> DatapathInfo:
        info = self._dialogue.ask(GetDatapath(name=DATAPATH_NAME))
        assert isinstance(info, DatapathInfo)
        return info

    def links(self) -> set[str]:
        return set(self._namespace.links())

    def add_flow(self, mask: bytes | None = None) -> None:
        flow = NewFlow(self.info().dp_ifindex, _KEY, b"", mask, _UFID)
        assert isinstance(self.ask(flow, c.NLM_F_CREATE | c.NLM_F_ACK), Acknowledged)

    def assert_that_only_that_flow_is_there(self) -> None:
        info = self.info()
        assert info.stats.flows == 1
        flow = self.ask(GetFlow(info.dp_ifindex, _UFID))
        assert isinstance(flow, FlowInfo)
        assert flow.ufid == _UFID

    def close(self) -> None:
        if self._dialogue.families.datapath:
            self.ask(DeleteDatapath(name=DATAPATH_NAME), c.NLM_F_ACK)
        self.channel.close()
        self.channel.release()


@pytest.fixture
def host(open_channel: OpenChannel) -> Iterator[Host]:
    """A host without a datapath."""
    with Namespace() as namespace:
        host = Host(namespace, open_channel)
        try:
            yield host
        finally:
            host.close()


def test_a_datapath_offers_all_and_the_probe_leaves_nothing(host: Host) -> None:
    before = host.links()
    agreement = host.shake_hands()
    features = agreement.features
    assert features == Features(
        megaflows=True,
        ufids=True,
        masked_rewrites=True,
        unaligned=True,
        upcalls="shared" if host.channel.upcall_pid else "port",
    )
    stats, megaflows = host.info().stats, host.info().megaflows
    assert stats.flows == 0
    assert megaflows is not None
    assert megaflows.masks == 0
    assert host.links() == before | {DATAPATH_NAME}


@pytest.mark.parametrize("mask", [None, _ETHERNET_ONLY])
def test_inherited_flows_stay_as_they_are(host: Host, mask: bytes | None) -> None:
    host.shake_hands()
    host.add_flow(mask)
    for _ in range(2):
        agreement = host.shake_hands()
        assert agreement.connected.inherited
        assert agreement.features.ufids
        assert agreement.features.masked_rewrites
        host.assert_that_only_that_flow_is_there()


def test_a_flow_that_matches_everything_is_in_the_probes_way(host: Host) -> None:
    """That is what the test before is about: else it would prove nothing."""
    host.shake_hands()
    host.add_flow(_ETHERNET_ONLY)
    other = attribute(c.OVS_KEY_ATTR_IN_PORT, struct.pack("=I", 65_534)) + _KEY[8:]
    refused = host.ask(
        NewFlow(host.info().dp_ifindex, other, b"", None, _UFID[::-1]),
        c.NLM_F_CREATE | c.NLM_F_ACK,
    )
    assert isinstance(refused, NetlinkRefused)
    assert refused.errno == errno.EEXIST


def test_upcalls_go_by_cpu_where_it_is_offered(host: Host) -> None:
    agreement = host.shake_hands(upcalls_by_cpu=True)
    kernel = not host.channel.upcall_pid
    assert agreement.features.upcalls == ("cpu" if kernel else "shared")
    told = bool(host.info().user_features & c.OVS_DP_F_DISPATCH_UPCALL_PER_CPU)
    assert told == kernel


@pytest.mark.kernel
def test_the_probe_leaves_no_line_in_the_kernels_log(host: Host) -> None:
    def lines() -> list[str]:
        buffer = ctypes.create_string_buffer(_LOG_SIZE)
        count = ctypes.CDLL(None, use_errno=True).klogctl(_READ_ALL, buffer, _LOG_SIZE)
        if count < 0:
            pytest.skip("may not read the kernel's log")
        return [
            line for line in buffer.raw[:count].decode(errors="replace").splitlines()
            if "netlink: " in line or "openvswitch: " in line
        ]  # fmt: skip

    host.shake_hands()
    host.add_flow(_ETHERNET_ONLY)
    before = lines()
    host.shake_hands()
    assert lines() == before
