"""Namespaces, cables and addresses of a lab: does the steps of a plan, one by one.

Owns every namespace and link of the lab; the agents are not its business. It holds the lab as
it is (`actual`), brought up to date after each step, so a step that fails leaves a true
picture. One namespace, the underlay, holds a Linux bridge that every host's `underlay0` is
joined to, and the far ends of machines that are between two ports; a second bridge there is the
network by which hosts reach a store that is no file.
"""

from itertools import count
from typing import assert_never

from cli.lab import namespaces
from cli.lab.announce import announce
from cli.lab.links import Namespace
from cli.lab.plan import (
    AddHost,
    AddMachine,
    ChangeHost,
    PlugMachine,
    RemoveHost,
    RemoveMachine,
    SetMachineAddresses,
    SetMachineLink,
    SetUnderlayMtu,
    Step,
    UnplugMachine,
    after,
)
from cli.lab.store_network import STORE_ADDRESS, STORE_NETWORK, host_address
from cli.lab.wanted import NOTHING, Host, Lab, Machine, Plug

_STORE_BRIDGE = "store"
_STORE_LINK = "store0"

_BRIDGE = "underlay"
_HOST_LINK = "underlay0"
_MACHINE_LINK = "eth0"

_FIRST_MOVED = 1_000_000
"""Index of the first link that is moved: far above those that namespaces number themselves."""

_QUIET = (
    # A new namespace may inherit the machine's own settings, so what matters is set.
    ("ipv4/ip_forward", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
)
_HOST_ONLY = (
    # The host's own IP stack must stay out of the virtual network that passes its interfaces:
    # they have no address, so no source is right there, and it answers no ARP and no IPv6.
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/default/arp_ignore", "8"),
    ("ipv6/conf/default/disable_ipv6", "1"),
)
_UNDERLAY_LINK = (
    (f"ipv4/conf/{_HOST_LINK}/rp_filter", "0"),
    (f"ipv4/conf/{_HOST_LINK}/arp_ignore", "0"),
    (f"ipv6/conf/{_HOST_LINK}/disable_ipv6", "0"),
)
_STORE_LINK_ONLY = ((f"ipv4/conf/{_STORE_LINK}/arp_ignore", "0"),)
_MACHINE_ONLY = (
    # An address that stays survives the removal of the first address of its subnet.
    ("ipv4/conf/all/promote_secondaries", "1"),
)


class Fabric:
    """The lab's namespaces, built and changed by `do`."""

    def __init__(self, *, store_network: bool = False) -> None:
        """Make the underlay in the calling process's own namespace. Raises LinkError.

        With `store_network` hosts have a second link, to a network at which the store is.
        """
        self._store_network = store_network
        self.actual: Lab = NOTHING
        self.remarks: list[str] = []
        """What this machine did not allow and the lab can do without."""
        self.hosts: dict[str, Namespace] = {}
        self.machines: dict[str, Namespace] = {}
        self._numbers = count(1)
        self._indexes = count(_FIRST_MOVED)
        self._cables: dict[str, str] = {}
        """Host to the name of its link's end on the underlay."""
        self._parked: dict[str, str] = {}
        """Unplugged machine to the name of its cable's end on the underlay."""
        self._underlay = Namespace("underlay", namespaces.current_network())
        self._settle(self._underlay, (*_QUIET, ("ipv6/conf/default/disable_ipv6", "1")))
        self._underlay.add_bridge(_BRIDGE, self.actual.mtu)
        if store_network:
            self._underlay.add_bridge(_STORE_BRIDGE, self.actual.mtu)
            self._underlay.set_addresses(
                _STORE_BRIDGE, (f"{STORE_ADDRESS}/{STORE_NETWORK.prefixlen}",)
            )

    def close(self) -> None:
        """Let everything go."""
        for namespace in (*self.machines.values(), *self.hosts.values(), self._underlay):
            namespace.close()
        self.machines.clear()
        self.hosts.clear()

    def do(self, step: Step) -> None:
        """Do one step. Raises LinkError; `actual` then is as before the step."""
        match step:
            case RemoveMachine(name):
                self._remove_machine(name)
            case UnplugMachine(name):
                self._unplug(self.actual.machines[name])
            case RemoveHost(name):
                self._remove_host(name)
            case SetUnderlayMtu(mtu):
                self._set_underlay_mtu(mtu)
            case AddHost(host):
                self._add_host(host)
            case ChangeHost(host):
                self._address_host(host)
            case AddMachine(machine):
                self._add_machine(machine)
            case PlugMachine(name, _, plug):
                self._plug(self.actual.machines[name], plug)
            case SetMachineLink(name, mac, mtu):
                self._set_link(self.actual.machines[name], mac, mtu)
            case SetMachineAddresses(name, _, _):
                self._address_machine(after(self.actual, step).machines[name])
            case _:
                assert_never(step)
        self.actual = after(self.actual, step)

    def announce(self, name: str) -> None:
        """Have a machine say where it is, to whoever still looks for it elsewhere.

        Raises LinkError.
        """
        announce(self.machines[name], _MACHINE_LINK, self.actual.machines[name].mac)

    def _settle(self, namespace: Namespace, settings: tuple[tuple[str, str], ...]) -> None:
        self.remarks += namespace.sysctl(settings)

    def _new(self, label: str, settings: tuple[tuple[str, str], ...]) -> Namespace:
        namespace = Namespace(label, namespaces.new_network())
        self._settle(namespace, settings)
        return namespace

    def _add_host(self, host: Host) -> None:
        namespace = self._new(host.name, (*_QUIET, *_HOST_ONLY))
        self.hosts[host.name] = namespace
        number = next(self._numbers)
        cable = f"host{number}"
        self._cables[host.name] = cable
        try:
            self._underlay.add_veth(cable, namespace, _HOST_LINK, self.actual.mtu, None)
            self._underlay.join_bridge(cable, _BRIDGE)
            self._settle(namespace, _UNDERLAY_LINK)
            self._address_host(host)
            if self._store_network:
                self._reach_store(namespace, number)
        except BaseException:
            self._remove_host(host.name)
            raise

    def _reach_store(self, host: Namespace, number: int) -> None:
        cable = f"store{number}"
        self._underlay.add_veth(cable, host, _STORE_LINK, NOTHING.mtu, None)
        self._underlay.join_bridge(cable, _STORE_BRIDGE)
        self._settle(host, _STORE_LINK_ONLY)
        host.set_addresses(_STORE_LINK, (host_address(number),))

    def _remove_host(self, name: str) -> None:
        del self._cables[name]
        self.hosts.pop(name).close()

    def _address_host(self, host: Host) -> None:
        namespace = self.hosts[host.name]
        namespace.set_addresses(_HOST_LINK, host.addresses)
        namespace.set_routes(_HOST_LINK, [(route.to, None, route.source) for route in host.routes])

    def _set_underlay_mtu(self, mtu: int) -> None:
        for name, cable in self._cables.items():
            self._underlay.set_mtu(cable, mtu)
            self.hosts[name].set_mtu(_HOST_LINK, mtu)
        self._underlay.set_mtu(_BRIDGE, mtu)

    def _add_machine(self, machine: Machine) -> None:
        namespace = self._new(machine.name, (*_QUIET, *_MACHINE_ONLY))
        self.machines[machine.name] = namespace
        if machine.plug is None:
            where, interface = self._underlay, self._park(machine.name)
        else:
            where, interface = self.hosts[machine.plug.host], machine.plug.interface
        try:
            where.add_veth(interface, namespace, _MACHINE_LINK, machine.mtu, machine.mac)
            self._address_machine(machine)
        except BaseException:
            self._remove_machine(machine.name)
            raise

    def _remove_machine(self, name: str) -> None:
        # The namespace's end is asynchronous; the interface's name must be free at once.
        namespace = self.machines.pop(name)
        namespace.remove_if_there(_MACHINE_LINK)
        self._parked.pop(name, None)
        namespace.close()

    def _address_machine(self, machine: Machine) -> None:
        namespace = self.machines[machine.name]
        namespace.set_addresses(_MACHINE_LINK, machine.addresses)
        namespace.set_routes(
            _MACHINE_LINK, [(route.to, route.via, None) for route in machine.routes]
        )

    def _set_link(self, machine: Machine, mac: str, mtu: int) -> None:
        namespace = self.machines[machine.name]
        where, interface = self._far_end(machine)
        where.set_mtu(interface, mtu)
        namespace.set_mtu(_MACHINE_LINK, mtu)
        if mac != machine.mac:
            namespace.set_mac(_MACHINE_LINK, mac)

    def _far_end(self, machine: Machine) -> tuple[Namespace, str]:
        if machine.plug is None:
            return self._underlay, self._parked[machine.name]
        return self.hosts[machine.plug.host], machine.plug.interface

    def _park(self, name: str) -> str:
        self._parked[name] = f"parked{next(self._numbers)}"
        return self._parked[name]

    def _unplug(self, machine: Machine) -> None:
        where, interface = self._far_end(machine)
        parked = self._park(machine.name)
        try:
            where.move(interface, self._underlay, parked, next(self._indexes))
        except BaseException:
            del self._parked[machine.name]
            raise

    def _plug(self, machine: Machine, plug: Plug) -> None:
        if machine.plug == plug:
            return
        where, interface = self._far_end(machine)
        to = self.hosts[plug.host]
        where.move(interface, to, plug.interface, next(self._indexes))
        self._parked.pop(machine.name, None)
        to.set_up(plug.interface)
