"""What a document's lab section becomes."""

import pytest

from actors.state.document import parse_document
from cli.errors import CommandError, ExitStatus
from cli.lab.from_document import wanted_lab
from cli.lab.wanted import Host, Lab, Plug, Route, UnderlayRoute

TOPOLOGY = """
ayatori: 1
tunnel_zones:
  dc: {type: vxlan, members: {h1: 198.18.0.1, h2: 198.18.0.2}}
bridges:
  web:
    ports:
      vm1: {host: h1, interface: vm1}
      vm2: {host: h2, interface: vm2}
"""


def wanted(lab: str, topology: str = TOPOLOGY) -> Lab:
    return wanted_lab(parse_document(f"{topology}\n{lab}", "test.yaml"))


def test_hosts_are_the_tunnel_zones_members_with_routes_to_each_other() -> None:
    lab = wanted("lab: {machines: {}}")
    assert lab.hosts == {
        "h1": Host("h1", ("198.18.0.1/32",), (UnderlayRoute("198.18.0.2/32", "198.18.0.1"),)),
        "h2": Host("h2", ("198.18.0.2/32",), (UnderlayRoute("198.18.0.1/32", "198.18.0.2"),)),
    }


def test_a_machine_has_all_that_the_document_says() -> None:
    lab = wanted(
        'lab: {mtu: 9000, machines: {a: {port: web/vm1, address: [10.0.1.11/24, "2001:db8::1/64"],'
        ' gateway: 10.0.1.1, mac: "02:00:00:00:00:01", mtu: 1400,'
        " routes: [{to: 10.7.0.0/16, via: 10.0.1.9}]}}}"
    )
    machine = lab.machines["a"]
    assert lab.mtu == 9000
    assert machine.port == "web/vm1"
    assert machine.plug == Plug("h1", "vm1")
    assert machine.mac == "02:00:00:00:00:01"
    assert machine.mtu == 1400
    assert machine.addresses == ("10.0.1.11/24", "2001:db8::1/64")
    assert machine.routes == (Route("0.0.0.0/0", "10.0.1.1"), Route("10.7.0.0/16", "10.0.1.9"))


def test_a_machines_mtu_leaves_room_for_the_tunnel() -> None:
    lab = wanted("lab: {mtu: 9000, machines: {a: {port: web/vm1}}}")
    assert lab.machines["a"].mtu == 8950


@pytest.mark.parametrize(("kind", "mtu"), [("vxlan", 1450), ("geneve", 1450), ("gre", 1458)])
def test_each_type_of_tunnel_takes_its_share_of_the_mtu(kind: str, mtu: int) -> None:
    topology = TOPOLOGY.replace("vxlan", kind)
    assert wanted("lab: {machines: {a: {port: web/vm1}}}", topology).machines["a"].mtu == mtu


def test_machines_of_one_bridge_have_one_mtu_whatever_tunnels_their_hosts_use() -> None:
    zones = "tunnel_zones:\n  far: {type: gre, members: {h2: 198.18.0.2, h3: 198.18.0.3}}\n"
    topology = TOPOLOGY.replace("tunnel_zones:\n", zones).replace(
        "vm2: {host: h2", "vm2: {host: h3"
    )
    machines = wanted(
        "lab: {machines: {a: {port: web/vm1}, b: {port: web/vm2}}}", topology
    ).machines
    assert [each.mtu for each in machines.values()] == [1450, 1450]


def test_a_machine_without_a_mac_gets_the_same_one_each_time() -> None:
    macs = [wanted("lab: {machines: {a: {port: web/vm1}}}").machines["a"].mac for _ in range(2)]
    assert macs[0] == macs[1]
    assert macs[0].startswith("02:")


@pytest.mark.parametrize(
    ("lab", "topology", "reason"),
    [
        ("", TOPOLOGY, "no lab section"),
        (
            "lab: {machines: {a: {port: web/vm1}}}",
            TOPOLOGY.replace("interface: vm1", "interface: lo"),
            "machine a: no interface of a host can be called 'lo'",
        ),
        ("lab: {machines: {h1: {port: web/vm1}}}", TOPOLOGY, "'h1' is the name of a host and"),
        (
            'lab: {machines: {a: {port: web/vm1, mtu: 1000, address: "2001:db8::1/64"}}}',
            TOPOLOGY,
            "machine a: IPv6 needs an MTU of 1280",
        ),
        (
            """lab:
                 machines:
                   a:
                     {port: web/vm1, address: 10.0.0.1/24, gateway: 10.0.0.2,
                     routes: [{to: 0.0.0.0/0, via: 10.0.0.3}]}""",
            TOPOLOGY,
            "machine a: two routes to 0.0.0.0/0",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(lab: str, topology: str, reason: str) -> None:
    with pytest.raises(CommandError) as refusal:
        wanted(lab, topology)
    assert reason in str(refusal.value)
    assert refusal.value.status == ExitStatus.USAGE
