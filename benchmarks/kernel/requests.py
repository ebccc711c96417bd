"""The requests that are measured: their keys, masks, actions and frames, and what C is told of them.

A flow matches on a 5-tuple, of which the source address differs; its one action is an output.
The messages are those of the agent's own RequestWriter; the C program gets one of each, with the
places of what it has to patch.
"""

import struct

from actors.datapath.odp import constants as c
from actors.datapath.odp.actions import Output, encode_actions
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.mask import mask_for
from actors.datapath.odp.messages import Families
from actors.datapath.odp.requests import SetVport, encode_request
from actors.datapath.request_buffer import RequestBuffer
from actors.datapath.request_writer import RequestWriter
from actors.packets import flow_key as f
from actors.packets.ethernet import ethernet_frame
from actors.packets.ipv4 import ipv4_packet
from actors.packets.transport import udp_datagram

EPOCH = 1_700_000_000_000_000_000
FIVE_TUPLE = f.SEEN_IP_SRC | f.SEEN_IP_DST | f.SEEN_IP_PROTO | f.SEEN_L4_SRC | f.SEEN_L4_DST
ACTIONS = encode_actions((Output(2),))
_MACS = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
_NETWORK = 0x0A000000
_DESTINATION = bytes((192, 0, 2, 1))
_SOURCE_IN_FRAME = 26


def frame(number: int) -> bytes:
    """Return a UDP frame of 64 bytes from a source address of its own."""
    source = (_NETWORK + number).to_bytes(4)
    # Without a checksum, so that whoever changes the address need not mend it.
    datagram = udp_datagram(source, _DESTINATION, 1000, 53, b"x" * 22)
    datagram = datagram[:6] + bytes(2) + datagram[8:]
    packet = bytearray(ipv4_packet(source, _DESTINATION, 17, datagram))
    packet[10:12] = bytes(2)
    return ethernet_frame(_MACS[0], _MACS[1], 0x0800, bytes(packet))


def raw_key(number: int) -> bytes:
    """Return the key of such a frame, with the five attributes that a 5-tuple needs."""
    source = (_NETWORK + number).to_bytes(4)
    return b"".join(
        (
            attribute(c.OVS_KEY_ATTR_IN_PORT, struct.pack("=I", 1)),
            attribute(c.OVS_KEY_ATTR_ETHERNET, _MACS[1] + _MACS[0]),
            attribute(c.OVS_KEY_ATTR_ETHERTYPE, b"\x08\x00"),
            attribute(c.OVS_KEY_ATTR_IPV4, source + _DESTINATION + bytes((17, 0, 64, 0))),
            attribute(c.OVS_KEY_ATTR_UDP, struct.pack(">HH", 1000, 53)),
        )
    )


MASK = mask_for(raw_key(0), FIVE_TUPLE)


def told_to_c(families: Families, dp_ifindex: int, upcall_key: bytes) -> dict[str, str | int]:
    """Return what the C program is told, by name; `upcall_key` is one as the kernel makes it."""
    written: list[bytes] = []

    def record(message: memoryview, _: int) -> None:
        written.append(bytes(message))

    requests = RequestBuffer(lambda _: 0, lambda _error, _sequences: None)
    writer = RequestWriter(requests, families, dp_ifindex, EPOCH, record)
    key = raw_key(0)
    writer.flow_creates((0,), (key,), MASK, ACTIONS)
    writer.flow_creates((0,), (b"",), mask_for(upcall_key, FIVE_TUPLE), ACTIONS)
    writer.flow_deletes((0,))
    writer.packet_executes(0, (key,), (ACTIONS,), (frame(0),))
    writer.packet_executes(0, (b"",), (ACTIONS,), (b"",))
    create, empty, delete, execute, bare = written
    pid = 0x7FABCDEF
    vport = encode_request(
        SetVport(dp_ifindex, port_no=1, upcall_pids=(pid,)),
        families=families, seq=1, pid=0, flags=c.NLM_F_ACK,
    )  # fmt: skip
    source = _NETWORK.to_bytes(4) + _DESTINATION
    return {
        "create": create.hex(),
        "delete": delete.hex(),
        "execute": execute.hex(),
        "frame": frame(0).hex(),
        "vport": vport.hex(),
        # For the answer to an upcall, whose key C takes over with the attribute's header.
        "create_head": empty[:24].hex(),
        "create_tail": empty[28:].hex(),
        "execute_head": bare[:24].hex(),
        "execute_middle": bare[28:-4].hex(),
        "create_source": create.index(source),
        "execute_source": execute.index(source),
        "frame_source": _SOURCE_IN_FRAME,
        "vport_pid_at": vport.index(struct.pack("=I", pid)),
    }
