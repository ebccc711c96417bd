"""Families, and the life of a datapath."""

import errno

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output
from actors.datapath.odp.replies import DatapathInfo
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    NewDatapath,
    NewVport,
    SetDatapath,
)
from tests.datapath.conformance.bench import Bench, OpenChannel
from tests.datapath.conformance.frames import MAC_C, Frame

_FEATURES = odp.OVS_DP_F_UNALIGNED | odp.OVS_DP_F_VPORT_PIDS


def test_the_families_are_known_by_name_with_their_versions(bench: Bench) -> None:
    families = bench.dialogue.family
    assert [family.version for family in families.values()] == [
        odp.OVS_DATAPATH_VERSION, odp.OVS_VPORT_VERSION, odp.OVS_FLOW_VERSION,
        odp.OVS_PACKET_VERSION,
    ]  # fmt: skip
    assert len({family.id for family in families.values()}) == 4
    assert [name for name, _ in families[odp.OVS_VPORT_FAMILY].groups] == ["ovs_vport"]


def test_an_unknown_family_is_enoent(bench: Bench) -> None:
    assert bench.dialogue.refusal(GetFamily("no_such_family")) == errno.ENOENT


def test_a_datapath_is_found_by_name_and_by_ifindex(bench: Bench) -> None:
    by_name = bench.dialogue.datapath(GetDatapath(name="dp0"))
    assert by_name.name == "dp0"
    assert by_name.dp_ifindex == bench.dp
    assert bench.info().name == "dp0"
    assert bench.dialogue.refusal(GetDatapath(name="dp1")) == errno.ENODEV
    assert bench.dialogue.refusal(GetDatapath(bench.dp + 1000)) == errno.ENODEV


def test_all_datapaths_are_dumped(bench: Bench) -> None:
    second = bench.dialogue.datapath(NewDatapath("dp1", bench.pid)).dp_ifindex
    infos = bench.dialogue.ask(GetDatapath(), odp.NLM_F_DUMP)
    found = [(i.name, i.dp_ifindex) for i in infos if isinstance(i, DatapathInfo)]
    assert sorted(found) == [("dp0", bench.dp), ("dp1", second)]
    bench.dialogue.ask(DeleteDatapath(name="dp1"))
    (left,) = bench.dialogue.ask(GetDatapath(), odp.NLM_F_DUMP)
    assert isinstance(left, DatapathInfo)
    assert left.name == "dp0"


@pytest.mark.parametrize("name", ["dp0", "port0-far"])
def test_a_name_that_is_taken_is_eexist(bench: Bench, name: str) -> None:
    assert bench.dialogue.refusal(NewDatapath(name, bench.pid)) == errno.EEXIST


@pytest.mark.parametrize("features", [0, odp.OVS_DP_F_UNALIGNED, _FEATURES])
def test_features_that_are_known_are_taken(bench: Bench, features: int) -> None:
    info = bench.dialogue.datapath(NewDatapath("dp1", bench.pid, features))
    assert bench.dialogue.datapath(GetDatapath(info.dp_ifindex)).user_features == features
    bench.dialogue.ask(DeleteDatapath(info.dp_ifindex))


def test_a_feature_that_nobody_knows_is_refused(bench: Bench) -> None:
    request = NewDatapath("dp1", bench.pid, 1 << 30)
    assert bench.dialogue.refusal(request) == errno.EOPNOTSUPP
    assert bench.dialogue.refusal(GetDatapath(name="dp1")) == errno.ENODEV


def test_features_are_changed_and_an_unknown_one_changes_nothing(bench: Bench) -> None:
    dialogue = bench.dialogue
    dialogue.ask(NewDatapath("dp1", bench.pid, odp.OVS_DP_F_UNALIGNED))
    dialogue.ask(SetDatapath("dp1", _FEATURES))
    assert dialogue.datapath(GetDatapath(name="dp1")).user_features == _FEATURES
    assert dialogue.refusal(SetDatapath("dp1", 1 << 30)) == errno.EOPNOTSUPP
    assert dialogue.datapath(GetDatapath(name="dp1")).user_features == _FEATURES
    assert dialogue.refusal(SetDatapath("dp2", _FEATURES)) == errno.ENODEV
    dialogue.ask(DeleteDatapath(name="dp1"))


def test_upcalls_by_cpu_are_offered_or_refused(bench: Bench) -> None:
    dialogue = bench.dialogue
    dialogue.ask(NewDatapath("dp1", bench.pid, odp.OVS_DP_F_UNALIGNED))
    features = odp.OVS_DP_F_UNALIGNED | odp.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
    refusal = dialogue.refusal(SetDatapath("dp1", features, (bench.pid,)))
    assert refusal in {0, errno.EOPNOTSUPP}
    told = dialogue.datapath(GetDatapath(name="dp1")).user_features
    assert told == (odp.OVS_DP_F_UNALIGNED if refusal else features)
    dialogue.ask(DeleteDatapath(name="dp1"))


def test_hits_misses_losses_and_flows_are_counted(bench: Bench) -> None:
    before = bench.info().stats
    frame, other = Frame().raw(), Frame(eth_src=MAC_C).raw()
    key = bench.key_of(frame)
    bench.add_flow(key, Output(bench.ports[1]))
    bench.inject(0, frame, frame, frame, other)
    after = bench.info().stats
    markers = 2
    assert after.hits - before.hits == 3 + markers
    assert after.misses - before.misses == 2
    assert after.lost == before.lost
    assert after.flows - before.flows == 1


def test_a_deleted_datapath_is_gone_with_all_that_it_had(open_channel: OpenChannel) -> None:
    bench = Bench(open_channel, 1)
    dialogue = bench.dialogue
    info = dialogue.datapath(DeleteDatapath(bench.dp))
    assert (info.name, info.dp_ifindex) == ("dp0", bench.dp)
    for request in (
        GetDatapath(bench.dp), GetDatapath(name="dp0"), DeleteDatapath(bench.dp),
        GetVport(bench.dp, 1), GetVport(0, None, "port0"),
        NewVport(bench.dp, odp.OVS_VPORT_TYPE_NETDEV, "port0"), DeleteFlow(bench.dp),
    ):  # fmt: skip
        assert dialogue.refusal(request) == errno.ENODEV
    assert dialogue.refusal(GetFlow(bench.dp), odp.NLM_F_DUMP) == errno.ENODEV
    assert "dp0" not in bench.host.links()
    assert {"port0", "port0-far"} <= bench.host.links()
    bench.dp = dialogue.datapath(NewDatapath("dp0", bench.pid)).dp_ifindex
    bench.ports = [bench.add_vport("port0")]
    bench.reset()
    assert bench.inject(0, Frame().raw()).upcall().frame == Frame().raw()
    bench.close()
