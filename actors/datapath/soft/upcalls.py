"""UpcallSender: hands packets to the agent, bounded so that no port can drown it.

A full socket, an empty token bucket or a receiver of 0 lose the packet; the loss is counted as
the module's `lost`. GSO frames are segmented first, as queue_gso_packets() does.
"""

import socket
from typing import Final

from actors.datapath.odp.constants import OVS_PACKET_CMD_ACTION, OVS_PACKET_CMD_MISS
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import encode_key
from actors.datapath.odp.upcalls import encode_upcall
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.families import FAMILIES
from actors.datapath.soft.limits import ALL_UPCALLS_BURST, ALL_UPCALLS_PER_SECOND
from actors.datapath.soft.offload import complete_checksum, segments
from actors.datapath.soft.packet import GSO_NONE, Packet
from actors.datapath.soft.token_bucket import TokenBucket
from actors.packets.flow_key import FlowKey

MISS: Final = OVS_PACKET_CMD_MISS
ACTION: Final = OVS_PACKET_CMD_ACTION


class UpcallSender:
    """The upcall socket of all datapaths of this program."""

    def __init__(self, upcalls: socket.socket, clock: TurnClock) -> None:
        self._socket = upcalls
        self._clock = clock
        self._all = TokenBucket(ALL_UPCALLS_PER_SECOND, ALL_UPCALLS_BURST)

    def send(
        self,
        dp_ifindex: int,
        command: int,
        key: FlowKey,
        packet: Packet,
        userdata: bytes,
        bucket: TokenBucket,
    ) -> int:
        """Send a packet's upcall, one per segment; return how many were lost."""
        now = self._clock.now
        if not (bucket.available(now) and self._all.available(now)):
            return 1
        if packet.gso_type == GSO_NONE:
            complete_checksum(packet)
            frames = [packet.frame()]
        else:
            frames = segments(packet)
            if not frames:
                return 1
        try:
            raw_key = encode_key(key)
        except OdpError:
            return len(frames)
        for done, frame in enumerate(frames):
            if not (bucket.available(now) and self._all.available(now)):
                return len(frames) - done
            try:
                self._socket.send(
                    encode_upcall(FAMILIES.packet, dp_ifindex, command, raw_key, frame, userdata)
                )
            except (OSError, OdpError):
                # The socket is full, or the frame too long for an attribute (EFBIG in the module).
                return len(frames) - done
            bucket.take()
            self._all.take()
        return 0
