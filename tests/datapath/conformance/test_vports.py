"""Ports: how they are made, numbered, described and taken away."""

import errno

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output
from actors.datapath.odp.replies import VportInfo
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteVport,
    GetVport,
    NewDatapath,
    NewVport,
    SetVport,
)
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import Frame
from tests.datapath.soft.namespaces import Namespace

_NETDEV, _INTERNAL = odp.OVS_VPORT_TYPE_NETDEV, odp.OVS_VPORT_TYPE_INTERNAL
_VXLAN = odp.OVS_VPORT_TYPE_VXLAN
_FRAME = Frame().raw()


@pytest.fixture
def spare(bench: Bench) -> str:
    """A link that is no port yet."""
    if "spare" not in bench.host.links():
        bench.host.veth("spare", bench.host, "spare-far")
    for port in bench.dialogue.ask(GetVport(bench.dp), odp.NLM_F_DUMP):
        assert isinstance(port, VportInfo)
        if port.port_no and port.port_no not in bench.ports:
            bench.dialogue.ask(DeleteVport(bench.dp, port.port_no))
    return "spare"


def test_a_port_is_given_the_lowest_free_number(bench: Bench, spare: str) -> None:
    assert bench.ports == [1, 2, 3]
    assert bench.add_vport(spare) == 4
    assert bench.add_vport("inner", _INTERNAL) == 5
    bench.dialogue.ask(DeleteVport(bench.dp, 4))
    assert bench.add_vport(spare) == 4


def test_a_port_gets_the_number_that_is_asked_for(bench: Bench, spare: str) -> None:
    request = NewVport(bench.dp, _NETDEV, spare, (bench.pid,), 4711)
    info = bench.dialogue.vport(request)
    assert (info.port_no, info.name, info.type) == (4711, spare, _NETDEV)
    assert info.upcall_pids == (bench.pid,)
    assert info.dp_ifindex == bench.dp


def test_number_0_is_no_wish(bench: Bench, spare: str) -> None:
    request = NewVport(bench.dp, _NETDEV, spare, (bench.pid,), 0)
    assert bench.dialogue.vport(request).port_no == 4


def test_a_link_is_a_port_of_one_datapath_only(bench: Bench) -> None:
    second = bench.dialogue.datapath(NewDatapath("dp1", bench.pid)).dp_ifindex
    assert bench.dialogue.refusal(NewVport(second, _NETDEV, "port0")) == errno.EBUSY
    bench.dialogue.ask(DeleteDatapath(second))


@pytest.mark.parametrize(
    ("kind", "name", "number", "code"),
    [
        (_NETDEV, "spare", 2, errno.EBUSY),
        (_NETDEV, "spare", 65535, errno.EFBIG),
        (_NETDEV, "nothing", None, errno.ENODEV),
        (_NETDEV, "port0", None, errno.EEXIST),
        (_NETDEV, "lo", None, errno.EINVAL),
        (_INTERNAL, "port0", None, errno.EEXIST),
        (_INTERNAL, "spare", None, errno.EEXIST),
        (_VXLAN, "vx", None, errno.EINVAL),
        (99, "spare", None, errno.EAFNOSUPPORT),
    ],
)
def test_a_port_that_cannot_be_made_is_refused(
    bench: Bench, spare: str, kind: int, name: str, number: int | None, code: int
) -> None:
    request = NewVport(bench.dp, kind, name, (bench.pid,), number)
    assert bench.dialogue.refusal(request) == code
    assert bench.add_vport(spare) == 4


def test_ports_are_found_by_name_and_by_number(bench: Bench) -> None:
    for number, name in ((0, "dp0"), (1, "port0"), (3, "port2")):
        by_number = bench.vport(number)
        by_name = bench.dialogue.vport(GetVport(0, None, name))
        assert by_number.name == by_name.name == name
        assert by_number.port_no == by_name.port_no == number
        assert by_number.ifindex == by_name.ifindex > 0
        assert by_name.dp_ifindex == bench.dp
    assert bench.vport(0).type == _INTERNAL


def test_a_port_that_is_not_there_is_enodev(bench: Bench) -> None:
    refusal = bench.dialogue.refusal
    assert refusal(GetVport(bench.dp, 99)) == errno.ENODEV
    assert refusal(GetVport(bench.dp, None, "nothing")) == errno.ENODEV
    assert refusal(GetVport(bench.dp + 1000, None, "port0")) == errno.ENODEV
    assert refusal(GetVport(bench.dp, 65535)) == errno.EFBIG
    assert refusal(GetVport(bench.dp)) == errno.EINVAL
    assert refusal(SetVport(bench.dp, 99, None, (1,))) == errno.ENODEV
    assert refusal(DeleteVport(bench.dp, 99)) == errno.ENODEV


def test_all_ports_are_dumped(bench: Bench, spare: str) -> None:
    bench.add_vport(spare)
    infos = bench.dialogue.ask(GetVport(bench.dp), odp.NLM_F_DUMP)
    found = [(info.port_no, info.name) for info in infos if isinstance(info, VportInfo)]
    assert found == [(0, "dp0"), (1, "port0"), (2, "port1"), (3, "port2"), (4, spare)]


def test_the_local_port_cannot_be_deleted(bench: Bench) -> None:
    assert bench.dialogue.refusal(DeleteVport(bench.dp, 0)) == errno.EINVAL


def test_a_deleted_port_tells_of_itself_a_last_time(bench: Bench, spare: str) -> None:
    number = bench.add_vport(spare)
    info = bench.dialogue.vport(DeleteVport(bench.dp, number))
    assert (info.port_no, info.name, info.cmd) == (number, spare, odp.OVS_VPORT_CMD_DEL)
    assert bench.dialogue.refusal(DeleteVport(bench.dp, number)) == errno.ENODEV
    assert spare in bench.host.links()


def test_an_internal_port_is_a_link_as_long_as_it_is_a_port(bench: Bench, spare: str) -> None:
    del spare
    number = bench.add_vport("inner", _INTERNAL)
    assert "inner" in bench.host.links()
    bench.dialogue.ask(DeleteVport(bench.dp, number))
    assert "inner" not in bench.host.links()


def test_frames_are_counted_where_they_come_in_and_go_out(bench: Bench) -> None:
    bench.add_flow(bench.key_of(_FRAME), Output(2), Output(3))
    before = [bench.vport(number).stats for number in (1, 2, 3)]
    bench.inject(0, _FRAME, _FRAME)
    after = [bench.vport(number).stats for number in (1, 2, 3)]
    marker = 14 + 48
    got = [
        (new.rx_packets - old.rx_packets, new.rx_bytes - old.rx_bytes,
         new.tx_packets - old.tx_packets, new.tx_bytes - old.tx_bytes)
        for new, old in zip(after, before, strict=True)
    ]  # fmt: skip
    size = len(_FRAME)
    assert got[0] == (3, 2 * size + marker, 1, marker)
    assert got[1] == got[2] == (0, 0, 3, 2 * size + marker)


def test_upcalls_go_to_whom_the_port_names_and_are_lost_to_nobody(bench: Bench) -> None:
    lost = bench.info().stats.lost
    bench.dialogue.ask(SetVport(bench.dp, 2, None, (0,)))
    assert bench.vport(2).upcall_pids == (0,)
    assert not bench.inject(1, _FRAME, _FRAME).upcalls
    assert bench.info().stats.lost == lost + 2
    bench.dialogue.ask(SetVport(bench.dp, None, "port1", (bench.pid,)))
    assert bench.vport(2).upcall_pids == (bench.pid,)
    assert bench.inject(1, _FRAME).upcall().frame == _FRAME


def test_frames_to_a_port_that_is_gone_are_swallowed_and_the_others_go_on(
    bench: Bench, spare: str
) -> None:
    number = bench.add_vport(spare)
    bench.add_flow(bench.key_of(_FRAME), Output(number), Output(2), Output(number), Output(3))
    assert [len(frames) for frames in bench.inject(0, _FRAME).frames] == [0, 1, 1]
    for _ in range(20):
        bench.wires[0].send(_FRAME)
    bench.dialogue.ask(DeleteVport(bench.dp, number))
    for _ in range(20):
        bench.wires[0].send(_FRAME)
    assert [len(frames) for frames in bench.outcome(0).frames] == [0, 40, 40]
    (flow,) = bench.flows()
    assert flow.packets == 41


def test_a_deleted_link_takes_its_port_along_and_that_is_notified(bench: Bench, spare: str) -> None:
    number = bench.add_vport(spare)
    (group,) = (group for _, group in bench.dialogue.family[odp.OVS_VPORT_FAMILY].groups)
    bench.dialogue.channel.listen(group)
    bench.add_flow(bench.key_of(_FRAME), Output(number), Output(2))
    bench.host.delete_link(spare)
    notified = bench.dialogue.notified(
        lambda info: isinstance(info, VportInfo) and info.port_no == number
    )
    assert isinstance(notified, VportInfo)
    assert (notified.cmd, notified.name) == (odp.OVS_VPORT_CMD_DEL, spare)
    assert notified.dp_ifindex == bench.dp
    assert bench.dialogue.refusal(GetVport(bench.dp, number)) == errno.ENODEV
    assert len(bench.inject(0, _FRAME).only(1)) == 1


def test_a_link_that_moves_to_another_namespace_is_no_port_any_more(
    bench: Bench, spare: str
) -> None:
    number = bench.add_vport(spare)
    (group,) = (group for _, group in bench.dialogue.family[odp.OVS_VPORT_FAMILY].groups)
    bench.dialogue.channel.listen(group)
    with Namespace() as elsewhere:
        bench.host.set_link(spare, net_ns_fd=elsewhere.fd)
        bench.dialogue.notified(lambda info: isinstance(info, VportInfo) and info.port_no == number)
        assert bench.dialogue.refusal(GetVport(bench.dp, number)) == errno.ENODEV
