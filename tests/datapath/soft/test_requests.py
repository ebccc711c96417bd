"""The soft datapath answers requests as the openvswitch module does, error numbers included."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from actors.datapath import soft_channel
from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, Userspace, encode_actions
from actors.datapath.odp.attributes import attribute, u32
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.mask import exact_mask, mask_for
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    FlowInfo,
    NetlinkRefused,
    VportInfo,
)
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    DeleteVport,
    Encodable,
    ExecutePacket,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    NewDatapath,
    NewFlow,
    NewVport,
    SetFlow,
    SetVport,
)
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import SEEN_ALL, SEEN_ETH_DST, SEEN_ETH_SRC
from tests.datapath.soft.agent import Agent
from tests.datapath.soft.frames import UDP, ip_frame
from tests.datapath.soft.namespaces import Namespace, namespaces_are_permitted

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not namespaces_are_permitted(), reason="may not make network namespaces"),
]
_FRAME = ip_frame(UDP, struct.pack("!HHHH", 1, 2, 8, 0))
_KEY = encode_key(flow_key_of(_FRAME, 1))
_OTHER_KEY = encode_key(flow_key_of(b"\2\0\0\0\0\7" + _FRAME[6:], 1))
_NO_ACTIONS = encode_actions(())
_UFID = bytes(range(16))
_DP = -1
"""Stands for the datapath's ifindex in the case tables."""


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


_REFUSALS: list[tuple[Callable[[int], Encodable], int, int]] = [
    (lambda _: GetFamily("ovs_nothing"), 0, errno.ENOENT),
    (lambda _: NewDatapath("dp0"), 0, errno.EEXIST),
    (lambda _: NewDatapath("dp1", 0, 1 << 30), 0, errno.EOPNOTSUPP),
    (lambda _: GetDatapath(0, "other"), 0, errno.ENODEV),
    (lambda _: DeleteDatapath(999_999), 0, errno.ENODEV),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_NETDEV, "missing"), 0, errno.ENODEV),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_NETDEV, "lo"), 0, errno.EINVAL),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_VXLAN, "vx"), 0, errno.EINVAL),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_GENEVE, "gnv"), 0, errno.EINVAL),
    (lambda dp: NewVport(dp, 6, "other"), 0, errno.EAFNOSUPPORT),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_INTERNAL, "in", (0,), 70_000), 0, errno.EFBIG),
    (lambda dp: NewVport(dp, odp.OVS_VPORT_TYPE_INTERNAL, "dp0"), 0, errno.EEXIST),
    (lambda _: NewVport(0, odp.OVS_VPORT_TYPE_INTERNAL, "in"), 0, errno.ENODEV),
    (lambda dp: GetVport(dp, 7), 0, errno.ENODEV),
    (lambda dp: GetVport(dp, None, "nothing"), 0, errno.ENODEV),
    (GetVport, 0, errno.EINVAL),
    (lambda dp: SetVport(dp, 7, None, (1,)), 0, errno.ENODEV),
    (lambda dp: DeleteVport(dp, 0), 0, errno.EINVAL),
    (lambda dp: GetFlow(dp, _UFID), 0, errno.ENOENT),
    (GetFlow, 0, errno.EINVAL),
    (lambda dp: DeleteFlow(dp, _UFID), 0, errno.ENOENT),
    (lambda dp: DeleteFlow(dp, None, _KEY), 0, errno.ENOENT),
    (lambda dp: SetFlow(dp, _KEY, _NO_ACTIONS), 0, errno.ENOENT),
    (lambda dp: SetFlow(dp, None, _NO_ACTIONS, None, _UFID), 0, errno.EINVAL),
    (lambda _: NewFlow(0, _KEY, _NO_ACTIONS), odp.NLM_F_CREATE, errno.ENODEV),
    (lambda dp: NewFlow(dp, b"\1\0\0\0", _NO_ACTIONS), odp.NLM_F_CREATE, errno.EINVAL),
    (lambda dp: NewFlow(dp, _KEY, u32(99, 0)), odp.NLM_F_CREATE, errno.EINVAL),
    (lambda dp: NewFlow(dp, _KEY, u32(odp.OVS_ACTION_ATTR_OUTPUT, 65_535)), odp.NLM_F_CREATE,
     errno.EINVAL),
    (lambda dp: NewFlow(dp, _KEY, _NO_ACTIONS, attribute(odp.OVS_KEY_ATTR_ARP, b"\xff" * 24)),
     odp.NLM_F_CREATE, errno.EINVAL),
    (lambda dp: NewFlow(dp, _KEY, _NO_ACTIONS, attribute(odp.OVS_KEY_ATTR_IPV4, b"\xff" * 8)),
     odp.NLM_F_CREATE, errno.EINVAL),
    (lambda dp: ExecutePacket(dp, _KEY, _NO_ACTIONS, b"short"), 0, errno.ERANGE),
    (lambda _: GetFlow(999_999), odp.NLM_F_DUMP, errno.ENODEV),
]  # fmt: skip


def test_what_the_module_refuses_is_refused_with_its_error_number(agent: Agent) -> None:
    for number, (make, flags, code) in enumerate(_REFUSALS):
        assert agent.refusal(make(agent.dp_ifindex), flags) == code, f"case {number}"


def test_a_flow_without_actions_is_refused_and_one_with_none_in_it_drops(agent: Agent) -> None:
    whole = agent.encode(NewFlow(agent.dp_ifindex, _KEY, _NO_ACTIONS), odp.NLM_F_ACK)[1]
    without = whole[: -len(attribute(odp.OVS_FLOW_ATTR_ACTIONS, b""))]
    agent.send(struct.pack("=I", len(without)) + without[4:])
    refused = agent.next_reply()
    assert isinstance(refused, NetlinkRefused)
    assert refused.errno == errno.EINVAL
    agent.send(whole)
    assert isinstance(agent.next_reply(), Acknowledged)


def test_creating_a_flow_again_or_across_another_is_refused(agent: Agent) -> None:
    agent.add_flow(_KEY, Output(1), seen=SEEN_ETH_DST, ufid=_UFID)
    dp, create = agent.dp_ifindex, odp.NLM_F_CREATE
    mask, other_mask = mask_for(_KEY, SEEN_ETH_DST), mask_for(_KEY, SEEN_ETH_DST | SEEN_ETH_SRC)
    for request in (
        NewFlow(dp, _KEY, _NO_ACTIONS, mask, _UFID),
        NewFlow(dp, _KEY, _NO_ACTIONS, mask, b"another"),
        NewFlow(dp, _KEY, _NO_ACTIONS, other_mask, b"a third"),
        NewFlow(dp, _KEY, _NO_ACTIONS, None),
    ):
        assert agent.refusal(request, create) == errno.EEXIST
    agent.ask(NewFlow(dp, _OTHER_KEY, _NO_ACTIONS, mask, b"elsewhere"), create)
    assert len(agent.flows()) == 2


def test_creating_without_the_create_flag_changes_the_actions_of_the_same_flow(
    agent: Agent,
) -> None:
    dp, mask = agent.dp_ifindex, mask_for(_KEY, SEEN_ETH_DST)
    agent.add_flow(_KEY, Output(1), seen=SEEN_ETH_DST, ufid=_UFID)
    agent.ask(NewFlow(dp, _KEY, encode_actions((Output(2),)), mask, _UFID))
    (flow,) = agent.flows()
    assert flow.actions == encode_actions((Output(2),))
    assert agent.refusal(NewFlow(dp, _KEY, _NO_ACTIONS, mask, b"another")) == errno.ENOENT


def test_a_flow_is_found_by_its_whole_key_when_it_has_no_unique_id(agent: Agent) -> None:
    dp = agent.dp_ifindex
    agent.add_flow(_KEY, Output(1), seen=None)
    (info,) = agent.ask(GetFlow(dp, None, _KEY))
    assert isinstance(info, FlowInfo)
    assert (info.raw_key, info.mask, info.ufid) == (_KEY, exact_mask(_KEY), None)
    assert agent.refusal(GetFlow(dp, None, _OTHER_KEY)) == errno.ENOENT
    agent.ask(SetFlow(dp, _KEY, encode_actions((Output(9),))))
    (deleted,) = agent.ask(DeleteFlow(dp, None, _KEY), odp.NLM_F_ECHO)
    assert isinstance(deleted, FlowInfo)
    assert deleted.actions == encode_actions((Output(9),))
    assert agent.flows() == []


def test_a_flow_deleted_by_its_unique_id_is_echoed_without_what_it_may_omit(agent: Agent) -> None:
    agent.add_flow(_KEY, Output(1), seen=SEEN_ALL, ufid=_UFID)
    every = odp.OVS_UFID_F_OMIT_KEY | odp.OVS_UFID_F_OMIT_MASK | odp.OVS_UFID_F_OMIT_ACTIONS
    (info,) = agent.ask(DeleteFlow(agent.dp_ifindex, _UFID, None, every), odp.NLM_F_ECHO)
    assert isinstance(info, FlowInfo)
    assert info.ufid == _UFID
    assert (info.raw_key, info.mask, info.actions) == (None, None, None)


def test_one_failing_request_of_a_batch_answers_alone_and_the_rest_is_done(agent: Agent) -> None:
    dp, mask = agent.dp_ifindex, mask_for(_KEY, SEEN_ALL)
    batch = [
        agent.encode(NewFlow(dp, key, _NO_ACTIONS, mask, ufid), odp.NLM_F_CREATE)[1]
        for key, ufid in ((_KEY, b"one"), (_KEY, b"two"), (_OTHER_KEY, b"three"))
    ]
    barrier = agent.encode(GetDatapath(dp), odp.NLM_F_ACK)[1]
    agent.send(*batch, barrier)
    seq = struct.unpack_from("=I", batch[1], 8)[0]
    assert agent.next_reply() == NetlinkRefused(seq, errno.EEXIST)
    info = agent.next_reply()
    assert isinstance(info, DatapathInfo)
    assert info.stats.flows == 2
    assert isinstance(agent.next_reply(), Acknowledged)


def test_a_dump_larger_than_the_socket_comes_whole(
    host: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_channel, "_BUFFER", 1 << 17)
    keys = [
        encode_key(flow_key_of(struct.pack("!HI", 0x200, n) + _FRAME[6:], 1)) for n in range(3000)
    ]
    mask = mask_for(_KEY, SEEN_ALL)
    with Agent(host) as agent:
        dp = agent.make_datapath().dp_ifindex
        for first in range(0, len(keys), 20):
            requests = [
                NewFlow(dp, key, _NO_ACTIONS, mask, struct.pack("!I", first + n))
                for n, key in enumerate(keys[first : first + 20])
            ]
            agent.send(*(agent.encode(request, odp.NLM_F_CREATE)[1] for request in requests))
            agent.ask(GetDatapath(dp))
        assert [flow.raw_key for flow in agent.flows()] == keys
        agent.ask(DeleteFlow(dp))
        assert agent.flows() == []


def test_ports_are_described_changed_and_deleted(agent: Agent) -> None:
    number = agent.add_port("vx0", odp.OVS_VPORT_TYPE_VXLAN, dst_port=6677)
    tap = agent.add_port("tap0", odp.OVS_VPORT_TYPE_INTERNAL, pid=0)
    ports = [
        info
        for info in agent.ask(GetVport(agent.dp_ifindex), odp.NLM_F_DUMP)
        if isinstance(info, VportInfo)
    ]
    assert [(p.port_no, p.name, p.dst_port) for p in ports] == [
        (0, "dp0", None),
        (number, "vx0", 6677),
        (tap, "tap0", None),
    ]
    agent.ask(SetVport(agent.dp_ifindex, tap, None, (5,)))
    assert agent.port(tap).upcall_pids == (5,)
    agent.ask(DeleteVport(agent.dp_ifindex, None, "tap0"))
    assert agent.refusal(GetVport(agent.dp_ifindex, tap)) == errno.ENODEV


@pytest.mark.parametrize(
    ("kind", "udp_port", "code"),
    [
        (odp.OVS_VPORT_TYPE_VXLAN, 6677, errno.EEXIST),
        (odp.OVS_VPORT_TYPE_GENEVE, 6081, errno.EBUSY),
        (odp.OVS_VPORT_TYPE_GRE, None, errno.EEXIST),
    ],
    ids=["vxlan", "geneve", "gre"],
)
def test_two_tunnel_ports_cannot_take_the_same_packets(
    agent: Agent, kind: int, udp_port: int | None, code: int
) -> None:
    first = agent.add_port("one", kind, dst_port=udp_port)
    request = NewVport(agent.dp_ifindex, kind, "two", (0,), None, udp_port)
    assert agent.refusal(request) == code
    assert agent.port(first).dst_port == udp_port
    agent.ask(DeleteVport(agent.dp_ifindex, first))
    agent.ask(request)


def test_a_udp_port_in_other_hands_is_refused(host: Namespace, agent: Agent) -> None:
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 6677))
        request = NewVport(agent.dp_ifindex, odp.OVS_VPORT_TYPE_VXLAN, "vx", (0,), None, 6677)
        assert agent.refusal(request) == errno.EADDRINUSE


def test_deleting_a_datapath_takes_its_devices_along(host: Namespace, agent: Agent) -> None:
    agent.add_port("tap0", odp.OVS_VPORT_TYPE_INTERNAL)
    assert {"dp0", "tap0"} <= host.links()
    agent.ask(DeleteDatapath(agent.dp_ifindex))
    assert not {"dp0", "tap0"} & host.links()
    agent.make_datapath()


def test_an_executed_packet_takes_the_actions_that_came_with_it(agent: Agent) -> None:
    actions = encode_actions((Userspace(1, b"note"),))
    agent.ask(ExecutePacket(agent.dp_ifindex, _KEY, actions, _FRAME))
    upcall = agent.next_upcall()
    assert (upcall.cmd, upcall.frame, upcall.userdata, upcall.raw_key) == (
        odp.OVS_PACKET_CMD_ACTION,
        _FRAME,
        b"note",
        _KEY,
    )


def test_noise_on_the_request_socket_is_survived(agent: Agent) -> None:
    for noise in (
        b"\0",
        bytes(15),
        bytes(16),
        b"\xff" * 64,
        struct.pack("=IHHII", 20, 0x22, 5, 1, 1),
    ):
        assert agent.channel.send(noise) == 0
    agent.send(agent.encode(GetDatapath(agent.dp_ifindex))[1])
    while not isinstance(agent.next_reply(), DatapathInfo):
        pass
    assert agent.channel.process.poll() is None


def test_a_tap_port_carries_what_the_host_sends(host: Namespace, agent: Agent) -> None:
    with ExitStack() as stack:
        number = agent.add_port("tap0", odp.OVS_VPORT_TYPE_INTERNAL)
        host.set_link("tap0", state="up")
        link = stack.enter_context(host.socket(socket.AF_PACKET, socket.SOCK_RAW))
        host.run(lambda: link.bind(("tap0", 0)))
        link.send(_FRAME)
        while True:
            upcall = agent.next_upcall()
            if upcall.frame == _FRAME:
                break
        assert upcall.raw_key == encode_key(flow_key_of(_FRAME, number))
