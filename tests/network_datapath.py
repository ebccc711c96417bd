"""The datapath of the in-process network: the soft datapath's own tables and executors, without
sockets, threads or devices. It takes and gives the real bytes of the protocol."""

from collections.abc import Callable

from actors.datapath.handshake import shake_hands
from actors.datapath.odp.constants import (
    OVS_VPORT_TYPE_GENEVE,
    OVS_VPORT_TYPE_GRE,
    OVS_VPORT_TYPE_VXLAN,
)
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.reply_encoding import encode_ack
from actors.datapath.odp.upcalls import encode_upcall
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.families import AGENT_PID, FAMILIES
from actors.datapath.soft.flow_requests import FlowRequests
from actors.datapath.soft.flow_table import Flow
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.loop import Loop
from actors.datapath.soft.packet import Packet
from actors.datapath.soft.port_requests import PortRequests
from actors.datapath.soft.ports.factory import PortFactory
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.ports.tap import NoDevicePort
from actors.datapath.soft.service import Service
from actors.datapath.soft.token_bucket import TokenBucket
from actors.datapath.soft.upcalls import UpcallSender
from actors.messages.netlink import DatapathConnected
from actors.packets.flow_key import FlowKey, TunnelKey
from actors.values import Nanoseconds

ENODEV = 19
TUNNELS = frozenset((OVS_VPORT_TYPE_GRE, OVS_VPORT_TYPE_GENEVE, OVS_VPORT_TYPE_VXLAN))

FrameOut = Callable[[str, bytes, TunnelKey | None], None]
"""Told of each frame that leaves: link name, frame, outer header if the port is a tunnel."""


class _MemoryPort(Port):
    """A port whose frames go to a function."""

    def __init__(self, number: int, name: str, kind: int, out: FrameOut) -> None:
        super().__init__(number, name)
        self.kind = kind
        self._out = out

    @property
    def descriptors(self) -> tuple[int, ...]:
        return ()

    def receive(self, descriptor: int, packet: Packet) -> bool:
        del descriptor, packet
        return False

    def send(self, packet: Packet) -> bool:
        tunnel = packet.tunnel_out if self.kind in TUNNELS else None
        if self.kind not in TUNNELS or tunnel is not None:
            self._out(self.name, packet.frame(), tunnel)
        return True

    def close(self) -> None:
        """Nothing to release."""


class _MemoryFactory(PortFactory):
    def __init__(self, links: dict[str, int], out: FrameOut) -> None:
        super().__init__()
        self._links = links
        self._out = out
        self.refused: set[str] = set()

    def open(self, kind: int, number: int, name: str, udp_port: int | None) -> Port:
        if name in self.refused or (kind not in TUNNELS and name not in self._links):
            raise PortUnavailableError(ENODEV, f"no link {name}")
        port = _MemoryPort(number, name, kind, self._out)
        port.udp_port = udp_port
        return port


class _NoLoop(Loop):
    """Nothing to poll."""

    def __init__(self) -> None:
        pass

    def watch(self, datapath: Datapath, port: Port) -> None:
        del datapath, port

    def unwatch(self, port: Port) -> None:
        del port


class _MemoryPortRequests(PortRequests):
    def __init__(
        self, inventory: Inventory, upcalls: UpcallSender, clock: TurnClock, factory: PortFactory
    ) -> None:
        super().__init__(inventory, _NoLoop(), upcalls, clock)
        self._factory = factory

    def _open_local(self, name: str) -> Port:
        return NoDevicePort(0, name)


class _QueuedUpcalls(UpcallSender):
    def __init__(self) -> None:
        self.queued: list[bytes] = []

    def send(
        self,
        dp_ifindex: int,
        command: int,
        key: FlowKey,
        packet: Packet,
        userdata: bytes,
        bucket: TokenBucket,
    ) -> int:
        del bucket
        raw_key = encode_key(key)
        self.queued.append(
            encode_upcall(FAMILIES.packet, dp_ifindex, command, raw_key, packet.frame(), userdata)
        )
        return 0


class MemoryDatapath:
    """A DatapathChannel with its datapath behind it, all in this process and synchronous."""

    reply_pid = AGENT_PID
    upcall_pid = AGENT_PID
    upcalls_lost = 0

    def __init__(self, links: dict[str, int], out: FrameOut) -> None:
        self.clock = TurnClock()
        self.inventory = Inventory()
        self._upcalls = _QueuedUpcalls()
        factory = _MemoryFactory(links, out)
        self.refused = factory.refused
        """Names of links that cannot be opened."""
        ports = _MemoryPortRequests(self.inventory, self._upcalls, self.clock, factory)
        self._service = Service(self.inventory, ports, FlowRequests(self.inventory))
        self.replies: list[bytes] = []
        self.refuse_with = 0
        """An errno that every send gets, as from a socket that is full."""
        self.refuse_dumps_with = 0
        """An errno that dumps get, as while another one is still streamed."""
        self.requests: list[bytes] = []
        """All datagrams sent so far."""

    def connect(self, at: Nanoseconds) -> DatapathConnected:
        return shake_hands(self, at).connected

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        if self.refuse_with:
            return self.refuse_with
        self.requests.append(bytes(requests))
        if self.refuse_dumps_with:
            for request in decode_request(bytes(requests), FAMILIES):
                if request.header.dump:
                    refusal = encode_ack(request.header, AGENT_PID, self.refuse_dumps_with)
                    self.replies.append(refusal)
                    return 0
        self.replies += self._service.answer(bytes(requests))
        return 0

    def receive_reply(self) -> bytes:
        return self.replies.pop(0) if self.replies else b""

    def receive_upcalls(self) -> list[bytes]:
        queued, self._upcalls.queued = self._upcalls.queued, []
        return queued

    def listen(self, group: int) -> None:
        """All notifications come by themselves."""

    def open_upcalls(self) -> int:
        return self.upcall_pid

    def close_upcalls(self, pid: int) -> None:
        """They share one queue."""

    def close(self) -> None:
        """Nothing to release."""

    release = close

    @property
    def datapath(self) -> Datapath:
        return next(iter(self.inventory))

    def port(self, link: str) -> Port | None:
        found = self.inventory.port_named(link)
        return None if found is None else found[1]

    def flows(self) -> tuple[Flow, ...]:
        return tuple(self.datapath.table) if len(self.inventory) else ()

    def enter(self, link: str, frame: bytes, tunnel: TunnelKey | None = None) -> bool:
        """Let a frame come in by a link; return False if the link is no port."""
        port = self.port(link)
        if port is None:
            return False
        packet = Packet()
        packet.load(frame)
        packet.tunnel = tunnel
        port.count_received(packet)
        self.datapath.forward(port, packet)
        return True

    def delete_flow(self, flow: Flow) -> None:
        """Take a flow out behind the agent's back."""
        self.datapath.table.remove(flow)
