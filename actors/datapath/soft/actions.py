"""Steps: a flow's actions, made ready to run on a Packet.

An action becomes a closure once, when its flow is made, so that a packet pays for one call. What
the codec can express but this datapath cannot do (priorities, marks, DF on a tunnel's outer
header) is refused here, when the flow is made.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol, assert_never

from actors.datapath.odp.actions import (
    Action,
    Output,
    PopVlan,
    PushVlan,
    SetEthernet,
    SetIpv4,
    SetIpv6,
    SetPriority,
    SetSkbMark,
    SetTcp,
    SetTunnel,
    SetUdp,
    Trunc,
    Userspace,
)
from actors.datapath.odp.errors import OdpError
from actors.datapath.soft import headers
from actors.datapath.soft.limits import MAX_PORTS
from actors.datapath.soft.packet import Packet
from actors.packets.ethernet import VLAN_ETHERTYPES
from actors.packets.flow_key import TunnelKey


class Forwarder(Protocol):
    """What steps need of a datapath; False means that the packet is dropped there."""

    def output(self, packet: Packet, number: int) -> bool:
        """Send the packet by the port of that number."""
        ...

    def lift(self, packet: Packet, pid: int, userdata: bytes) -> bool:
        """Send the packet to the agent."""
        ...


Step = Callable[[Forwarder, Packet], bool]
"""Runs one action; False ends the packet's way."""

_TCP, _UDP = 6, 17
_CFI: Final = 0x1000
_Rewriter = Callable[[Packet], bool]


def compile_actions(actions: tuple[Action, ...]) -> tuple[Step, ...]:
    """Return the steps of `actions`; OdpError for one that this datapath cannot do."""
    return tuple(_compile(action) for action in actions)


def _compile(action: Action) -> Step:
    match action:
        case Output(port):
            if port >= MAX_PORTS:
                raise OdpError(f"port {port} is beyond the largest port number")
            return lambda forwarder, packet: forwarder.output(packet, port)
        case Userspace(pid, userdata):
            return lambda forwarder, packet: forwarder.lift(packet, pid, userdata)
        case PushVlan(tpid, tci):
            return lambda _, packet: packet.push_tag(tpid, tci & ~_CFI)
        case PopVlan():
            return _pop_tag
        case SetTunnel(tunnel):
            return _set_tunnel(tunnel)
        case Trunc(length):
            return _truncate(length)
        case SetEthernet() | SetIpv4() | SetIpv6() | SetTcp() | SetUdp():
            return _rewrite(action)
        case SetPriority() | SetSkbMark():
            raise OdpError("this datapath does not set priorities and marks")
        case _:
            assert_never(action)


def _rewrite(action: SetEthernet | SetIpv4 | SetIpv6 | SetTcp | SetUdp) -> Step:
    rewriter: _Rewriter
    match action:
        case SetEthernet():
            changes = _changes(action, (("dst", 0, 6), ("src", 6, 6)))
            rewriter = partial(headers.set_ethernet, changes=changes)
        case SetIpv4():
            fields = (("src", 12, 4), ("dst", 16, 4), ("tos", 1, 1), ("ttl", 8, 1))
            rewriter = partial(headers.set_ipv4, changes=_changes(action, fields))
        case SetIpv6():
            changes = _changes(action, (("src", 8, 16), ("dst", 24, 16), ("ttl", 7, 1)))
            rewriter = partial(headers.set_ipv6, changes=changes + _first_word(action))
        case SetTcp() | SetUdp():
            proto = _TCP if isinstance(action, SetTcp) else _UDP
            changes = _changes(action, (("src", 0, 2), ("dst", 2, 2)))
            rewriter = partial(headers.set_ports, proto=proto, changes=changes)
        case _:
            assert_never(action)
    return lambda _, packet: rewriter(packet)


def _changes(action: object, fields: Sequence[tuple[str, int, int]]) -> tuple[headers.Change, ...]:
    """Return the changes of those fields of a set action that are set."""
    changes = []
    for name, offset, length in fields:
        value: bytes | int | None = getattr(action, name)
        mask: bytes | int = getattr(action, f"{name}_mask")
        if value is not None:
            changes.append((offset, length, _number(value), _number(mask)))
    return tuple(change for change in changes if change[3])


def _first_word(action: SetIpv6) -> tuple[headers.Change, ...]:
    """Return the change of the word that holds traffic class and flow label, if any."""
    value = mask = 0
    if action.tos is not None:
        value |= action.tos << 20
        mask |= action.tos_mask << 20
    if action.label is not None:
        value |= action.label
        mask |= action.label_mask
    return ((0, 4, value, mask),) if mask else ()


def _number(value: bytes | int) -> int:
    return int.from_bytes(value) if isinstance(value, bytes) else value


def _pop_tag(forwarder: Forwarder, packet: Packet) -> bool:
    del forwarder
    at = packet.start + 12
    if int.from_bytes(packet.buffer[at : at + 2]) in VLAN_ETHERTYPES:
        if packet.end - packet.start < 18:
            return False
        packet.pop_tag()
    return True


def _set_tunnel(tunnel: TunnelKey) -> Step:
    if tunnel.dont_fragment:
        raise OdpError("this datapath never sets DF on the outer header")
    if len(tunnel.dst) != 4:
        raise OdpError("this datapath tunnels over IPv4 only")

    def step(forwarder: Forwarder, packet: Packet) -> bool:
        del forwarder
        packet.tunnel_out = tunnel
        return True

    return step


def _truncate(length: int) -> Step:
    def step(forwarder: Forwarder, packet: Packet) -> bool:
        del forwarder
        packet.cut_to = length
        return True

    return step
