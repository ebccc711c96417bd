"""Idleness: how a device that nothing uses any more lets itself go, the same for every device.

Part of a device's actor, for which it keeps the one wake-up call it has at the clock. A device is
kept by flows that depend on it (it watches its own tag), by what its actor says it has in hand,
and by packets for `device_idle` after the last one. Then it ends what it asked others for, and
its actor leaves the lane; the next packet makes it afresh.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from actors.devices.outcome import FLOW_CONTROLLER
from actors.host import HostSettings
from actors.lane import Lane
from actors.messages.flows import UnwatchTag, WatchTag
from actors.messages.time import WakeMe
from actors.tags import device_tag
from actors.values import ActorName, DeviceId, Nanoseconds, Tag

_CLOCK = ActorName("clock")


class IdleDevice(Protocol):
    """What this needs of a device's actor."""

    name: ActorName
    id: DeviceId
    lane: Lane
    host: HostSettings

    @property
    def state(self) -> Any:
        """The actor's own tables."""
        ...

    def send(self, to: ActorName, message: Any, /) -> None:
        """Tell another actor."""
        ...

    def in_hand(self) -> bool:
        """Tell whether it has packets that wait, or rows of its own that others may use."""
        ...

    def unsubscribe(self) -> None:
        """End all that it asked other actors for, but its own tag."""
        ...


class Idleness:
    """Functions on a device that has `used_at`, `in_flows` and `wakes_at` in its state."""

    @staticmethod
    def begin(device: IdleDevice) -> None:
        """Count from now on; learn of flows that depend on the device."""
        at = device.lane.now
        device.state.used_at = at
        device.send(FLOW_CONTROLLER, WatchTag(device_tag(device.id), device.name))
        Idleness.wake_by(device, at + device.host.device_idle)

    @staticmethod
    def flows_use(device: IdleDevice, *, at: Nanoseconds | None) -> None:
        """Note that flows depend on the device (`at` is None), or none has since `at`."""
        state = device.state
        state.in_flows = at is None
        if at is not None:
            state.used_at = at
            Idleness.wake_by(device, at + device.host.device_idle)

    @staticmethod
    def wake_by(device: IdleDevice, at: int) -> None:
        """See to it that the device gets a Tick at `at` or earlier."""
        state = device.state
        if not state.wakes_at or at < state.wakes_at:
            state.wakes_at = Nanoseconds(at)
            device.send(_CLOCK, WakeMe(device.name, state.wakes_at))

    @staticmethod
    def end_if_idle(device: IdleDevice, at: Nanoseconds) -> None:
        """On each Tick, last: let the device go, or see to it that this is asked again."""
        state = device.state
        if state.in_flows:
            return  # their end brings a Tick
        idle = device.host.device_idle
        if at < state.used_at + idle:
            Idleness.wake_by(device, state.used_at + idle)
            return
        if device.in_hand():
            Idleness.wake_by(device, at + idle)
            return
        device.unsubscribe()
        device.send(FLOW_CONTROLLER, UnwatchTag(device_tag(device.id)))
        device.lane.retire(device.name)

    @staticmethod
    def unwatch(device: IdleDevice, tags: Sequence[Tag]) -> None:
        """Have the flow controller forget who watches these tags."""
        for tag in tags:
            device.send(FLOW_CONTROLLER, UnwatchTag(tag))
