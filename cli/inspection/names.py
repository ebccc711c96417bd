"""Names: what the ids in an agent's answers are called by people."""

import re
from collections.abc import Iterable

from actors.tunnel_key import PORT_MASK
from cli.inspection.answers import ActivePort, DevicePart, PortsPart

_ID = re.compile(
    r"((?:bridge|router)/)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)
"""An id, alone or as the end of a device's actor name."""
_TO_TUNNEL = re.compile(r"tunnel\(key=(0x[0-9a-f]+),to=([0-9a-f.:]+)\),output\((\w[^)]*)\)")
_FROM_TUNNEL = re.compile(r"tunnel\(key=(0x[0-9a-f]+),src=([0-9a-f.:]+)\)")


class Names:
    """Names for ids and tunnel keys; what has no name stays as it is."""

    def __init__(
        self,
        host: tuple[str, str],
        devices: dict[str, DevicePart],
        ports: PortsPart | None = None,
        active: Iterable[ActivePort] = (),
    ) -> None:
        """`host` is the agent's own id and name; `devices` are by actor name, `bridge/<id>`."""
        self._names = dict([host])
        self.actors: dict[str, str] = {}
        """Actor names to names that people use: `bridge/web`."""
        for actor, device in devices.items():
            kind, _, identity = actor.partition("/")
            called = f"{kind}/{device.name}" if device.exists else actor
            self.actors[actor] = called
            self._names[identity] = called
            self._names |= {port.id: port.name for port in device.ports}
        self._keys: dict[int, str] = {}
        self._peers: dict[str, str] = {}
        self._places: dict[tuple[str, int], str] = {}
        self._tunnel_ports: frozenset[str] = frozenset()
        if ports is not None:
            self._learn_tunnels(ports, active)

    def _learn_tunnels(self, ports: PortsPart, active: Iterable[ActivePort]) -> None:
        self._names |= {port.id: port.port for port in ports.ports}
        self._names |= {peer.id: peer.host for peer in ports.peers}
        self._tunnel_ports = frozenset(str(tunnel.number) for tunnel in ports.tunnels)
        self._keys = {port.tunnel_key: port.port for port in ports.ports}
        self._peers = {peer.remote: peer.host for peer in ports.peers}
        addresses = {peer.id: peer.remote for peer in ports.peers}
        self._places = {
            (addresses[port.host], port.tunnel_key): self.of(port.id)
            for port in active
            if port.host in addresses
        }

    def of(self, identity: str) -> str:
        """Return the name behind an id, or the id."""
        return self._names.get(identity, identity)

    def peer(self, address: str) -> str:
        """Return the name of the host at an underlay address, or the address."""
        return self._peers.get(address, address)

    def text(self, text: str) -> str:
        """Put names in the place of all ids in a text, such as a tag."""
        return _ID.sub(self._name, text)

    def _name(self, found: re.Match[str]) -> str:
        return self.actors.get(found[0]) or (found[1] or "") + self.of(found[2])

    def actor(self, called: str) -> str:
        """Return the name on the lane of the actor that people call so."""
        for actor, name in self.actors.items():
            if name == called:
                return actor
        return called

    def match(self, match: str) -> str:
        """Say of a match on a tunnel where it comes from and for which port it is."""
        return _FROM_TUNNEL.sub(self._from_tunnel, match)

    def actions(self, actions: str) -> str:
        """Say of outputs by a tunnel to which host they go and out of which port there."""
        return _TO_TUNNEL.sub(self._to_tunnel, actions)

    def _from_tunnel(self, found: re.Match[str]) -> str:
        port = self._keys.get(int(found[1], 16) & PORT_MASK)
        peer = self._peers.get(found[2])
        if port is None or peer is None:
            return found[0]
        return f"tunnel(from={peer},for={port})"

    def _to_tunnel(self, found: re.Match[str]) -> str:
        port = self._places.get((found[2], int(found[1], 16) & PORT_MASK))
        peer = self._peers.get(found[2])
        if port is None or peer is None or found[3] not in self._tunnel_ports:
            return found[0]
        return f"tunnel(to={peer},for={port})"
