"""Plan, then apply: the steps that turn the lab that is into the lab that is wanted. Pure.

`plan` compares, `after` says what is there once a step was done, so that a change which fails
half-way leaves a true picture to plan the next one from.
"""

from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from cli.lab.wanted import Host, Lab, Machine, Plug, Route


class RemoveMachine(Struct, frozen=True):
    """End a machine's processes and let its namespace go."""

    name: str

    def __str__(self) -> str:
        return f"remove machine {self.name}"


class UnplugMachine(Struct, frozen=True):
    """Take the far end of a machine's cable out of its host, keep the machine."""

    name: str

    def __str__(self) -> str:
        return f"unplug {self.name}"


class RemoveHost(Struct, frozen=True):
    """Stop a host's agent and let its namespace go."""

    name: str

    def __str__(self) -> str:
        return f"remove host {self.name}"


class SetUnderlayMtu(Struct, frozen=True):
    """Change the MTU (bytes) of the underlay and every host's link to it."""

    mtu: int

    def __str__(self) -> str:
        return f"set the underlay's MTU to {self.mtu}"


class AddHost(Struct, frozen=True):
    """Make a host's namespace, join it to the underlay, start its agent."""

    host: Host

    def __str__(self) -> str:
        return f"add host {self.host.name}"


class ChangeHost(Struct, frozen=True):
    """Change a host's underlay addresses and routes in place."""

    host: Host

    def __str__(self) -> str:
        return f"change host {self.host.name}"


class AddMachine(Struct, frozen=True):
    """Make a machine, plugged in."""

    machine: Machine

    def __str__(self) -> str:
        return f"add machine {self.machine.name}"


class PlugMachine(Struct, frozen=True):
    """Put the far end of a machine's cable into a host; `port` is the virtual port's name."""

    name: str
    port: str
    plug: Plug

    def __str__(self) -> str:
        return f"plug {self.name} into {self.port} at {self.plug.host}"


class SetMachineLink(Struct, frozen=True):
    """Change MAC and MTU (bytes) of a machine's `eth0` in place."""

    name: str
    mac: str
    mtu: int

    def __str__(self) -> str:
        return f"set {self.name} to MAC {self.mac}, MTU {self.mtu}"


class SetMachineAddresses(Struct, frozen=True):
    """Change addresses and routes of a machine's `eth0` in place."""

    name: str
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]

    def __str__(self) -> str:
        return f"set {self.name} to {', '.join(self.addresses) or 'no address'}"


Step = (
    RemoveMachine
    | UnplugMachine
    | RemoveHost
    | SetUnderlayMtu
    | AddHost
    | ChangeHost
    | AddMachine
    | PlugMachine
    | SetMachineLink
    | SetMachineAddresses
)


def plan(old: Lab, new: Lab) -> tuple[Step, ...]:
    """Return the steps from `old` to `new`, in an order in which each can be done.

    All that goes away goes first, so that an interface's or host's name is free before another
    takes it: two machines may swap their ports, a machine may leave a host that is removed.
    """
    kept = [
        (old.machines[name], new.machines[name]) for name in new.machines if name in old.machines
    ]
    steps: list[Step] = [RemoveMachine(name) for name in old.machines if name not in new.machines]
    steps += [UnplugMachine(was.name) for was, now in kept if was.plug and was.plug != now.plug]
    steps += [RemoveHost(name) for name in old.hosts if name not in new.hosts]
    if old.mtu != new.mtu:
        steps.append(SetUnderlayMtu(new.mtu))
    for name, host in new.hosts.items():
        if name not in old.hosts:
            steps.append(AddHost(host))
        elif old.hosts[name] != host:
            steps.append(ChangeHost(host))
    steps += [AddMachine(new.machines[name]) for name in new.machines if name not in old.machines]
    for was, now in kept:
        steps += _change_machine(was, now)
    return tuple(steps)


def _change_machine(was: Machine, now: Machine) -> list[Step]:
    steps: list[Step] = []
    if now.plug is not None and (was.plug, was.port) != (now.plug, now.port):
        steps.append(PlugMachine(now.name, now.port, now.plug))
    if (was.mac, was.mtu) != (now.mac, now.mtu):
        steps.append(SetMachineLink(now.name, now.mac, now.mtu))
    if (was.addresses, was.routes) != (now.addresses, now.routes):
        steps.append(SetMachineAddresses(now.name, now.addresses, now.routes))
    return steps


def after(lab: Lab, step: Step) -> Lab:
    """Return the lab as it is once `step` was done to `lab`."""
    hosts, machines = dict(lab.hosts), dict(lab.machines)
    match step:
        case RemoveMachine(name):
            del machines[name]
        case UnplugMachine(name):
            machines[name] = replace(machines[name], plug=None)
        case RemoveHost(name):
            del hosts[name]
        case SetUnderlayMtu(mtu):
            return replace(lab, mtu=mtu)
        case AddHost(host) | ChangeHost(host):
            hosts[host.name] = host
        case AddMachine(machine):
            machines[machine.name] = machine
        case PlugMachine(name, port, plug):
            machines[name] = replace(machines[name], port=port, plug=plug)
        case SetMachineLink(name, mac, mtu):
            machines[name] = replace(machines[name], mac=mac, mtu=mtu)
        case SetMachineAddresses(name, addresses, routes):
            machines[name] = replace(machines[name], addresses=addresses, routes=routes)
        case _:
            assert_never(step)
    return replace(lab, hosts=hosts, machines=machines)
