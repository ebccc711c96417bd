"""How exterior ports are reached from here: plugged in here, by a tunnel, or not at all. Pure.

Answers with encoded datapath actions, made once and kept until something changes.
"""

import functools

import msgspec

from actors.datapath.odp.actions import Output, SetEthernet, SetIpv4, SetTunnel, encode_actions
from actors.messages.flows import LocalPort, LocalPortsChanged, TunnelPeer
from actors.messages.tables import Row
from actors.packets.flow_key import FlowKey, TunnelKey
from actors.state.tables import ActivePort, decode_active
from actors.state.topology import TunnelType
from actors.tags import datapath_port_tag, peer_tag, reach_tag, tunnel_key_tag, underlay_tag
from actors.tunnel_key import egress_port_key
from actors.values import DatapathPort, HostId, PortId, Tag

TUNNEL_TTL = 64


class Reach(msgspec.Struct, frozen=True, gc=False):
    """The way to a port: its actions, None if there is none; and what that depends on."""

    actions: bytes | None
    tags: tuple[Tag, ...]
    local: bool


class Reachability(msgspec.Struct):
    """Where every exterior port is; part of the flow controller's state."""

    local: dict[PortId, LocalPort] = msgspec.field(default_factory=dict)
    active: dict[PortId, ActivePort] = msgspec.field(default_factory=dict)
    peers: dict[HostId, TunnelPeer] = msgspec.field(default_factory=dict)
    tunnels: dict[TunnelType, DatapathPort] = msgspec.field(default_factory=dict)


def take_active_rows(where: Reachability, rows: tuple[Row, ...]) -> tuple[tuple[Tag, ...], int]:
    """Take in rows of the active table; return the tags that changed and how many were bad.

    Rows are also told when they come back as they were, after a lost session say.
    """
    tags: list[Tag] = []
    malformed = 0
    for row in rows:
        try:
            if row.value is None:
                port = PortId(row.key.decode())
                new = None
            else:
                port, new = decode_active(row.key, row.value)
        except ValueError:
            malformed += 1
            continue
        if new == where.active.get(port):
            continue
        if new is None:
            del where.active[port]
        else:
            where.active[port] = new
        tags.append(reach_tag(port))
    return tuple(tags), malformed


def take_local_ports(where: Reachability, changed: LocalPortsChanged) -> tuple[Tag, ...]:
    """Take in which ports were plugged in here or taken out; return the tags concerned."""
    local = where.local
    tags: list[Tag] = []
    for port in changed.gone:
        if local.get(port.port) == port:
            del local[port.port]
        tags += _tags_of(port)
    for port in changed.plugged:
        old = local.get(port.port)
        if old != port:
            local[port.port] = port
            tags += [tag for each in (old, port) if each for tag in _tags_of(each)]
    old_tunnels, where.tunnels = where.tunnels, {t.type: t.number for t in changed.tunnels}
    if where.tunnels != old_tunnels:
        tags += [
            peer_tag(host)
            for host, peer in where.peers.items()
            if old_tunnels.get(peer.type) != where.tunnels.get(peer.type)
        ]
    return tuple(tags)


def _tags_of(port: LocalPort) -> tuple[Tag, ...]:
    return (
        reach_tag(port.port), tunnel_key_tag(port.tunnel_key), datapath_port_tag(port.number),
    )  # fmt: skip


def take_peers(where: Reachability, peers: tuple[TunnelPeer, ...]) -> tuple[Tag, ...]:
    """Take in how other hosts are reached; return the tags concerned."""
    before, after = where.peers, {peer.host: peer for peer in peers}
    where.peers = after
    hosts = (*before, *(host for host in after if host not in before))
    tags: list[Tag] = []
    for host in hosts:
        old, new = before.get(host), after.get(host)
        if old != new:
            tags.append(peer_tag(host))
            tags += [underlay_tag(peer.remote) for peer in (old, new) if peer]
    return tuple(tags)


def reach(where: Reachability, port: PortId) -> Reach:
    """Work out the way to a port."""
    tags: tuple[Tag, ...] = (reach_tag(port),)
    here = where.local.get(port)
    if here is not None:
        return Reach(encode_actions((Output(here.number),)), tags, local=True)
    active = where.active.get(port)
    if active is None:
        return Reach(None, tags, local=False)
    tags = (*tags, peer_tag(active.host))
    peer = where.peers.get(active.host)
    tunnel_port = None if peer is None else where.tunnels.get(peer.type)
    if peer is None or tunnel_port is None:
        return Reach(None, tags, local=False)
    tunnel = TunnelKey(egress_port_key(active.tunnel_key), peer.local, peer.remote, ttl=TUNNEL_TTL)
    actions = encode_actions((SetTunnel(tunnel), Output(tunnel_port)))
    return Reach(actions, tags, local=False)


def rewrite(before: FlowKey, after: FlowKey) -> bytes:
    """Return the actions that turn the headers `before` into `after`."""
    ttl = after.ip_ttl if after.ip_ttl != before.ip_ttl else None
    source = after.eth_src if after.eth_src != before.eth_src else None
    destination = after.eth_dst if after.eth_dst != before.eth_dst else None
    return _rewrite(source, destination, ttl)


@functools.lru_cache(maxsize=16_384)
def _rewrite(source: bytes | None, destination: bytes | None, ttl: int | None) -> bytes:
    actions: list[SetEthernet | SetIpv4] = []
    if source is not None or destination is not None:
        actions.append(SetEthernet(src=source, dst=destination))
    if ttl is not None:
        actions.append(SetIpv4(ttl=ttl))
    return encode_actions(tuple(actions))
