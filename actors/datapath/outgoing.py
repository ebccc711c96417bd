"""Outlet: the flow controller's way to the netlink broker, and what has gathered there in a turn.

What several packets lead to that came in together leaves together. Flows are gathered by their
form, whatever the order they come in; packets keep their order. All flows leave before all
packets, and a flow before its removal. Bounded by the turn, which has few packets.
"""

from collections.abc import Iterator

from msgspec import Struct, field

from actors.lane import Lane
from actors.messages.flows import ExecutePackets, InstallFlows, RemoveFlows
from actors.values import ActorName

NETLINK_BROKER = ActorName("netlink-broker")


class AlikeFlows(Struct):
    """Flows that differ by their keys alone."""

    flows: list[int] = field(default_factory=list)
    raw_keys: list[bytes] = field(default_factory=list)


class Outgoing(Struct):
    """What has gathered: a part of its owner's state. Pure."""

    lowest: int = 0
    """The lowest number of a gathered flow; 0 if there is none."""
    alike: dict[tuple[int, bytes, bytes], AlikeFlows] = field(default_factory=dict)
    """By the length of their keys, mask and actions."""
    raw_keys: list[bytes] = field(default_factory=list)
    actions: list[bytes] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.alike or self.frames)

    def has_flow_from(self, flow: int) -> bool:
        """Tell whether a flow may be gathered here whose number is at most this one."""
        return 0 < self.lowest <= flow

    def add_flow(self, flow: int, raw_key: bytes, mask: bytes, actions: bytes) -> None:
        """Gather a flow; their numbers rise."""
        form = len(raw_key), mask, actions
        group = self.alike.get(form)
        if group is None:
            group = self.alike[form] = AlikeFlows()
        if not self.lowest:
            self.lowest = flow
        group.flows.append(flow)
        group.raw_keys.append(raw_key)

    def add_packet(self, raw_key: bytes, actions: bytes, frame: bytes) -> None:
        """Gather a packet."""
        self.raw_keys.append(raw_key)
        self.actions.append(actions)
        self.frames.append(frame)

    def take(self) -> Iterator[InstallFlows | ExecutePackets]:
        """Yield what has gathered, which is then gone."""
        alike, self.alike, self.lowest = self.alike, {}, 0
        for (_, mask, actions), group in alike.items():
            yield InstallFlows(tuple(group.flows), tuple(group.raw_keys), mask, actions)
        if self.frames:
            yield ExecutePackets(tuple(self.raw_keys), tuple(self.actions), tuple(self.frames))
            self.raw_keys, self.actions, self.frames = [], [], []


class Outlet:
    """See the module. `owner` is the actor that is to be sent TurnEnded, and calls `let_out`."""

    __slots__ = ("_gathered", "_lane", "_owner")

    def __init__(self, lane: Lane, owner: ActorName, gathered: Outgoing) -> None:
        self._lane = lane
        self._owner = owner
        self._gathered = gathered

    def install(self, flow: int, raw_key: bytes, mask: bytes, actions: bytes) -> None:
        """Create a flow; flows' numbers rise."""
        lane, gathered = self._lane, self._gathered
        if lane.more or gathered.frames or gathered.alike:
            lane.at_end_of_turn(self._owner)
            gathered.add_flow(flow, raw_key, mask, actions)
        else:
            lane.send(NETLINK_BROKER, InstallFlows((flow,), (raw_key,), mask, actions))

    def execute(self, raw_key: bytes, actions: bytes, frame: bytes) -> None:
        """Let a packet go."""
        lane, gathered = self._lane, self._gathered
        if lane.more or gathered.frames or gathered.alike:
            lane.at_end_of_turn(self._owner)
            gathered.add_packet(raw_key, actions, frame)
        else:
            lane.send(NETLINK_BROKER, ExecutePackets((raw_key,), (actions,), (frame,)))

    def remove(self, flows: tuple[int, ...]) -> None:
        """Remove flows, at once."""
        if self._gathered.has_flow_from(max(flows)):
            self.let_out()
        self._lane.send(NETLINK_BROKER, RemoveFlows(flows))

    def let_out(self) -> None:
        """Send what has gathered."""
        for message in self._gathered.take():
            self._lane.send(NETLINK_BROKER, message)
