"""FlowStateReplicator: hands per-flow state to the hosts that may see the return flow.

Owns the keys that this host's devices made or that other hosts sent, and their idle expiry.
Receives keys to share (`ShareFlowState`) and frames from other hosts (`FlowStateReceived`). Sends
frames with the flow-state tunnel key, before the flow and the packet that they are for, and
invalidates the flows that looked a received key up. It believes hosts of shared tunnel zones only,
which the packet workflow checks. Format in flow_state_wire.py.
"""

from typing import assert_never

import msgspec

from actors.datapath.odp.actions import Output, SetTunnel, encode_actions
from actors.host import HostSettings
from actors.lane import Lane
from actors.lane_actor import LaneActor
from actors.messages.flow_state import (
    FlowStateKey,
    FlowStateReceived,
    FlowStateRestored,
    ShareFlowState,
)
from actors.messages.flows import (
    InvalidateTags,
    LocalPortsChanged,
    TunnelPeer,
    TunnelPeersChanged,
    executions,
)
from actors.messages.operator import Inspect, Inspected
from actors.messages.time import Tick, WakeMe
from actors.packets.flow_key import TunnelKey
from actors.state.flow_state_wire import FlowStateError, decode_frame, encode_frames
from actors.state.topology import TunnelType
from actors.tags import flow_state_tag
from actors.tunnel_key import FLOW_STATE_KEY
from actors.values import SECOND, ActorName, DatapathPort, HostId, Nanoseconds, Tag

FLOW_CONTROLLER = ActorName("flow-controller")
NETLINK_BROKER = ActorName("netlink-broker")
CLOCK = ActorName("clock")

IDLE = 60 * SECOND
SWEEP_INTERVAL = 5 * SECOND
MOST_KEYS = 200_000

ReplicatorMessage = (
    ShareFlowState
    | FlowStateReceived
    | FlowStateRestored
    | LocalPortsChanged
    | TunnelPeersChanged
    | Tick
    | Inspect
)


class ReplicatorState(msgspec.Struct):
    """All that the replicator knows."""

    keys: dict[Tag, Nanoseconds] = msgspec.field(default_factory=dict)
    """Tag of each key received -> when it was last heard of."""
    values: dict[Tag, bytes] = msgspec.field(default_factory=dict)
    peers: dict[HostId, TunnelPeer] = msgspec.field(default_factory=dict)
    tunnels: dict[TunnelType, DatapathPort] = msgspec.field(default_factory=dict)
    sent: int = 0
    received: int = 0
    malformed: int = 0
    dropped: int = 0
    timer: bool = False


class FlowStateReplicator(LaneActor):
    """See the module."""

    State = ReplicatorState
    can_begin_afresh = False
    state: ReplicatorState

    def __init__(self, name: ActorName, lane: Lane, host: HostSettings) -> None:
        super().__init__(name, lane)
        self.host = host

    def on_receive(self, message: ReplicatorMessage) -> None:
        """Handle one message."""
        state = self.state
        match message:
            case ShareFlowState():
                self._share(message)
            case FlowStateReceived():
                self._received(message)
            case FlowStateRestored():
                self._restore(message)
            case LocalPortsChanged():
                state.tunnels = {each.type: each.number for each in message.tunnels}
            case TunnelPeersChanged():
                state.peers = {peer.host: peer for peer in message.peers}
            case Tick():
                self._sweep(message.at)
            case Inspect():
                body = msgspec.json.encode(
                    {
                        "keys": len(state.keys),
                        "sent": state.sent,
                        "received": state.received,
                        "malformed": state.malformed,
                        "dropped": state.dropped,
                    }
                )
                self.send(message.requester, Inspected(message.request, self.name, body))
            case _:
                assert_never(message)

    def _share(self, message: ShareFlowState) -> None:
        state = self.state
        frames = encode_frames(self.host.host, message.keys, self.host.tunnel_mtu)
        for host in message.hosts:
            peer = state.peers.get(host)
            tunnel_port = None if peer is None else state.tunnels.get(peer.type)
            if peer is None or tunnel_port is None:
                state.dropped += 1
                continue
            tunnel = TunnelKey(FLOW_STATE_KEY, peer.local, peer.remote)
            actions = encode_actions((SetTunnel(tunnel), Output(tunnel_port)))
            state.sent += len(frames)
            self.send(NETLINK_BROKER, executions(b"", actions, frames))

    def _received(self, message: FlowStateReceived) -> None:
        state = self.state
        try:
            keys = decode_frame(message.frame)
        except FlowStateError:
            state.malformed += 1
            return
        state.received += 1
        changed = []
        for key in keys:
            tag = flow_state_tag(key)
            if tag not in state.keys and len(state.keys) >= MOST_KEYS:
                state.dropped += 1
                continue
            if state.values.get(tag) != key.value:
                changed.append(tag)
            state.keys[tag] = message.at
            state.values[tag] = key.value
        if changed:
            self.send(FLOW_CONTROLLER, InvalidateTags(tuple(changed)))
        self._ensure_timer(message.at)

    def _restore(self, message: FlowStateRestored) -> None:
        """Take over what an earlier run of this agent knew and is still fresh."""
        state = self.state
        for key in message.keys[:MOST_KEYS]:
            if message.at - key.heard_at < IDLE:
                state.keys[key.tag] = key.heard_at
                state.values[key.tag] = key.value
        if state.keys:
            self._ensure_timer(message.at)

    def find(self, key: FlowStateKey) -> bytes | None:
        """Return the value of a key that was received, or None."""
        return self.state.values.get(flow_state_tag(key))

    def _sweep(self, at: Nanoseconds) -> None:
        """Let keys go that were not heard of for a minute."""
        state = self.state
        state.timer = False
        idle = [tag for tag, heard in state.keys.items() if at - heard >= IDLE]
        for tag in idle:
            del state.keys[tag]
            del state.values[tag]
        if state.keys:
            self._ensure_timer(at)

    def _ensure_timer(self, at: Nanoseconds) -> None:
        if not self.state.timer:
            self.state.timer = True
            self.send(CLOCK, WakeMe(self.name, Nanoseconds(at + SWEEP_INTERVAL)))
