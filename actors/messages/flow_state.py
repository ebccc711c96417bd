"""To and from the flow-state replicator: per-flow state that devices hand to other hosts."""

from typing import Literal

from msgspec import Struct

from actors.messages.stored import Input
from actors.values import DeviceId, HostId, IpAddress, Nanoseconds, Tag


class FlowStateKey(Struct, frozen=True, array_like=True):
    """State of one connection at one device, with its value (a NAT binding; b"" for conntrack)."""

    kind: Literal["conntrack", "nat"]
    device: DeviceId
    proto: int
    src: IpAddress
    src_port: int
    dst: IpAddress
    dst_port: int
    value: bytes = b""


class ShareFlowState(Struct, frozen=True):
    """Hand these keys to these hosts."""

    keys: tuple[FlowStateKey, ...]
    hosts: tuple[HostId, ...]


class KnownKey(Struct, frozen=True, array_like=True):
    """A key of per-flow state by its tag, its value, and when it was last heard of."""

    tag: Tag
    value: bytes
    heard_at: Nanoseconds


class FlowStateRestored(Input, frozen=True, tag="flow-state-restored.1"):
    """What this host knew of other hosts' flows when its last run ended."""

    at: Nanoseconds
    keys: tuple[KnownKey, ...]


class FlowStateReceived(Struct, frozen=True, gc=False):
    """A frame with the flow-state tunnel key came from the host at `source`."""

    at: Nanoseconds
    source: IpAddress
    frame: bytes
