"""The trace bit in a packet's actions: it tells the egress host to record the packet. Pure."""

from msgspec.structs import replace

from actors.datapath.odp.actions import SetTunnel, decode_actions, encode_actions
from actors.tunnel_key import TRACE_BIT


def with_trace_bit(actions: bytes) -> bytes:
    """Return the actions with the trace bit in each tunnel key that they set."""
    return encode_actions(
        tuple(
            replace(action, tunnel=replace(action.tunnel, tun_id=action.tunnel.tun_id | TRACE_BIT))
            if isinstance(action, SetTunnel)
            else action
            for action in decode_actions(actions)
        )
    )
