"""WaitingRoom: packets that wait for their device's configuration, the same for every device.

Bounded; when the store does not answer in time they get a short drop flow.
"""

from typing import Any, Protocol

import msgspec

from actors.devices.idleness import IdleDevice, Idleness
from actors.devices.outcome import after_branch, drop
from actors.lifetimes import LIFE_ERROR, LIFE_PLAIN
from actors.messages.simulation import Hop, PacketContext, PacketParked, Verdict
from actors.tags import device_tag
from actors.values import SECOND, ActorName, Nanoseconds, Tag

MOST_WAIT = 5 * SECOND
"""How long a packet waits for its device's configuration."""

MOST_WAITING = 64
"""Packets that wait for one device's configuration; more are dropped."""

_WORKFLOW = ActorName("packet-workflow")


class _Waits(Protocol):
    waiting: list[Hop]
    waiting_since: Nanoseconds
    drops: dict[str, int]


class _Device(IdleDevice, Protocol):
    def on_receive(self, message: Any) -> Any: ...


def parked(hop: Hop, context: PacketContext, number: int) -> Hop:
    """Return the hop as it waits from input `number` on; what it has read may change meanwhile."""
    waits = msgspec.structs.replace(context, resumed=number, waited_tags=len(context.tags))
    return Hop(waits, hop.port)


def resumed(hop: Hop, number: int) -> Hop:
    """Return the hop as it goes on at input `number`."""
    return Hop(msgspec.structs.replace(hop.context, resumed=number), hop.port)


class WaitingRoom:
    """Functions on a device that has `waiting`, `waiting_since` and `drops` in its state."""

    @staticmethod
    def admit(device: _Device, hop: Hop) -> None:
        """Let a packet wait for the configuration."""
        state: _Waits = device.state
        if len(state.waiting) >= MOST_WAITING:
            state.drops["waiting room full"] = state.drops.get("waiting room full", 0) + 1
            device.send(*_ended(device, hop, "waiting room full"))
            return
        context = hop.context
        if not state.waiting:
            state.waiting_since = context.at
            Idleness.wake_by(device, context.at + MOST_WAIT)
        if not context.resumed:
            device.send(_WORKFLOW, PacketParked(context.number, context.raw_key, "topology"))
        state.waiting.append(parked(hop, context, device.lane.inputs))

    @staticmethod
    def release(device: _Device) -> None:
        """Simulate those who waited: the configuration is there."""
        state: _Waits = device.state
        waiting, state.waiting = state.waiting, []
        for hop in waiting:
            device.on_receive(resumed(hop, device.lane.inputs))

    @staticmethod
    def give_up(device: _Device, reason: str) -> None:
        """Drop those who waited: the configuration did not come."""
        state: _Waits = device.state
        waiting, state.waiting = state.waiting, []
        for hop in waiting:
            state.drops[reason] = state.drops.get(reason, 0) + 1
            device.send(*_ended(device, hop, reason))

    @staticmethod
    def refuse(device: _Device, hop: Hop, reason: str, tag: Tag) -> None:
        """Drop a packet whose device does not exist, until it does."""
        state: _Waits = device.state
        state.drops[reason] = state.drops.get(reason, 0) + 1
        context = hop.context
        outcome = drop(context, context.seen, (*context.tags, tag), reason, LIFE_PLAIN)
        device.send(*after_branch(outcome.context))


def _ended(device: _Device, hop: Hop, reason: str) -> tuple[ActorName, Hop | Verdict]:
    """Drop a packet until its device's configuration comes, which invalidates the drop flow."""
    context = hop.context
    tags = (*context.tags, device_tag(device.id))
    return after_branch(drop(context, context.seen, tags, reason, LIFE_ERROR).context)
