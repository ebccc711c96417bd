"""The most frequent replies and upcalls are read at fixed places: the same as by the general way."""

import struct

import pytest

from actors.datapath.odp import constants as c
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import FlowInfo, Notification, VportInfo
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.reply_encoding import encode_reply
from actors.datapath.odp.upcalls import Upcall, decode_upcall, encode_upcall
from tests.datapath.odp import cases

FAMILIES = Families(20, 21, 22, 23)
ECHOES = {
    "unused": FlowInfo(7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID),
    "used": FlowInfo(7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID, packets=5, bytes=600, used=99),
    "of TCP": FlowInfo(
        7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID, packets=5, bytes=600, used=99, tcp_flags=0x12
    ),
    "with a key": FlowInfo(7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID, raw_key=cases.UDP_KEY),
    "without a time": FlowInfo(7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID, packets=5, bytes=600),
    "without counters": FlowInfo(7, c.OVS_FLOW_CMD_DEL, 3, cases.UFID, used=99),
}


def encoded(info: FlowInfo | VportInfo) -> bytes:
    return encode_reply(info, families=FAMILIES, pid=9)


@pytest.mark.parametrize("name", ECHOES)
def test_the_echo_of_a_delete_says_what_the_flow_has_seen(name: str) -> None:
    assert decode_replies(encoded(ECHOES[name]), FAMILIES, 9) == (ECHOES[name],)


def test_echoes_of_all_kinds_are_read_one_behind_the_other() -> None:
    port = VportInfo(8, c.OVS_VPORT_CMD_NEW, 3, 1, 1, "port")
    infos: list[FlowInfo | VportInfo] = [*ECHOES.values(), port, *ECHOES.values()]
    assert decode_replies(b"".join(map(encoded, infos)), FAMILIES, 9) == tuple(infos)


@pytest.mark.parametrize("name", ECHOES)
def test_an_echo_to_another_port_id_is_a_notification(name: str) -> None:
    assert decode_replies(encoded(ECHOES[name]), FAMILIES, 8) == (Notification(ECHOES[name]),)


@pytest.mark.parametrize("name", ECHOES)
def test_an_echo_that_is_cut_short_behind_another_is_refused(name: str) -> None:
    whole = encoded(ECHOES[name])
    for length in range(1, len(whole)):
        with pytest.raises(OdpError):
            decode_replies(whole + whole[:length], FAMILIES)


def test_an_echo_of_a_family_that_is_not_resolved_is_refused() -> None:
    unresolved = bytearray(encoded(ECHOES["unused"]))
    unresolved[4:6] = bytes(2)
    with pytest.raises(OdpError):
        decode_replies(bytes(unresolved), Families())


@pytest.mark.parametrize("key_length", [0, 60, 64, 132, 512, 516])
@pytest.mark.parametrize("frame_length", [0, 1, 60, 61, 1514])
def test_a_miss_is_read_whatever_its_lengths(key_length: int, frame_length: int) -> None:
    frame = bytes(n & 0xFF for n in range(frame_length))
    miss = encode_upcall(23, 3, c.OVS_PACKET_CMD_MISS, bytes(key_length), frame, packet_hash=5)
    expected = Upcall(c.OVS_PACKET_CMD_MISS, 3, bytes(key_length), frame)
    assert decode_upcall(miss) == expected
    unpadded = len(miss) - (-frame_length & 3)
    for end in range(unpadded, len(miss)):  # as with OVS_DP_F_UNALIGNED
        assert decode_upcall(struct.pack("=I", end) + miss[4:end]) == expected


def test_a_miss_whose_frame_claims_too_much_or_too_little_is_refused() -> None:
    miss = encode_upcall(23, 3, c.OVS_PACKET_CMD_MISS, bytes(128), bytes(60))
    at = len(miss) - 64
    for length in (*range(4), *range(4, 61), 65, 66, 67, 68, 1000, 65535):
        with pytest.raises(OdpError):
            decode_upcall(miss[:at] + struct.pack("=H", length) + miss[at + 2 :])
