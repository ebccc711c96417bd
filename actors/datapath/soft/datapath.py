"""Datapath: one set of ports and its flow table; what happens to a frame from one to the other."""

from collections.abc import Iterable

from actors.datapath.soft.actions import Step
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.flow_table import FlowTable
from actors.datapath.soft.limits import UPCALL_BURST, UPCALLS_PER_SECOND
from actors.datapath.soft.offload import complete_checksum, segments
from actors.datapath.soft.packet import GSO_NONE, Packet
from actors.datapath.soft.ports.port import Port
from actors.datapath.soft.token_bucket import TokenBucket
from actors.datapath.soft.upcalls import ACTION, MISS, UpcallSender
from actors.packets.extract import flow_key_of


class Datapath:
    """Forwards frames by its flows; asks the agent about those that no flow matches."""

    def __init__(self, name: str, ifindex: int, upcalls: UpcallSender, clock: TurnClock) -> None:
        self.name = name
        self.ifindex = ifindex
        self.user_features = 0
        self.ports: dict[int, Port] = {}
        self.table = FlowTable()
        self.hits = 0
        self.missed = 0
        self.lost = 0
        self._upcalls = upcalls
        self._clock = clock
        self._executed_bucket = TokenBucket(UPCALLS_PER_SECOND, UPCALL_BURST)
        self._segment = Packet()

    def forward(self, port: Port, packet: Packet) -> None:
        """Take one frame that came in by `port`."""
        length = packet.end - packet.start
        if length < 14:
            return  # refused, and counted, by its port
        key = flow_key_of(packet.head(), packet.in_port, packet.tunnel)
        flow = self.table.lookup(key)
        if flow is None:
            self.missed += 1
            if port.upcall_pid == 0:
                self.lost += 1
                return
            self.lost += self._upcalls.send(
                self.ifindex, MISS, key, packet, b"", port.upcall_bucket
            )
            return
        self.hits += 1
        flow.packets += 1
        flow.bytes += length
        flow.used = self._clock.milliseconds
        flow.tcp_flags |= key.tcp_flags
        for step in flow.steps:
            if not step(self, packet):
                return

    def execute(self, packet: Packet, steps: Iterable[Step]) -> None:
        """Apply actions to a frame that the agent sent."""
        for step in steps:
            if not step(self, packet):
                return

    def output(self, packet: Packet, number: int) -> bool:
        """Send the frame by a port; a port that is not there swallows it, as in the kernel."""
        port = self.ports.get(number)
        if port is None:
            return True
        if packet.cut_to:
            cut_to, packet.cut_to = packet.cut_to, 0
            port.send(self._beginning(packet, cut_to))
            return True
        if packet.gso_type == GSO_NONE:
            if port.wants_plain:
                complete_checksum(packet)
            port.send(packet)
        elif port.wants_plain or not port.send(packet):
            frames = segments(packet)
            if frames:
                port.send_segments(packet, frames)
            else:
                port.tx_errors += 1
        return True

    def lift(self, packet: Packet, pid: int, userdata: bytes) -> bool:
        """Send the frame, as it looks now, to the agent (the userspace action)."""
        cut_to, packet.cut_to = packet.cut_to, 0
        if pid == 0:
            self.lost += 1
            return True
        port = self.ports.get(packet.in_port)
        key = flow_key_of(packet.head(), packet.in_port, packet.tunnel)
        bucket = self._executed_bucket if port is None else port.upcall_bucket
        lifted = self._beginning(packet, cut_to) if cut_to else packet
        self.lost += self._upcalls.send(self.ifindex, ACTION, key, lifted, userdata, bucket)
        return True

    def _beginning(self, packet: Packet, length: int) -> Packet:
        """Return the frame's first bytes; what follows in the flow gets the whole frame again."""
        segment = self._segment
        segment.load(bytes(packet.view[packet.start : packet.end][:length]))
        segment.tunnel_out = packet.tunnel_out
        return segment
