"""Outgoing: the flows and packets of a lane's turn, gathered so that they leave together.

Flows are gathered by their form, whatever the order they come in; packets keep their order. All
flows leave before all packets. Bounded by the turn, which has few packets. Pure.
"""

from collections.abc import Iterator

from msgspec import Struct, field

from actors.messages.flows import ExecutePackets, InstallFlows


class AlikeFlows(Struct):
    """Flows that differ by their keys alone."""

    flows: list[int] = field(default_factory=list)
    raw_keys: list[bytes] = field(default_factory=list)


class Outgoing(Struct):
    """See the module."""

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
