"""Upcall reader -> packet workflow."""

from actors.messages.stored import Input
from actors.values import Nanoseconds


class PacketIn(Input, frozen=True, tag="packet-in.1"):
    """The datapath had no flow for a packet, or a flow sent it up on purpose."""

    at: Nanoseconds
    raw_key: bytes
    """Payload of OVS_PACKET_ATTR_KEY, just as the datapath sent it."""
    frame: bytes
    by_action: bool = False
    """True when a flow's userspace action sent it (OVS_PACKET_CMD_ACTION)."""
    userdata: bytes = b""
    whole_length: int = 0
    """In a journal only: the frame's length before it was cut; 0 if it is whole."""
    rest_checksum: int = 0
    """In a journal only: CRC-32 of what was cut off."""
    more: bool = False
    """Others that came with it follow at once: what they lead to may go out together."""
