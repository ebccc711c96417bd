"""The golden table: encoded as laid out, decoded to what it says, cut off without surprise."""

from contextlib import suppress

import pytest

from actors.datapath.odp import constants as c
from actors.datapath.odp.actions import decode_actions, encode_actions
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import Malformed, encode_request
from actors.datapath.odp.upcalls import Upcall, decode_upcall, encode_upcall
from tests.datapath.odp import cases
from tests.datapath.odp.cases import ACTIONS, FAMILIES, KEYS, REPLIES, REQUESTS


@pytest.mark.parametrize("name", KEYS)
def test_key_is_encoded_as_the_kernel_lays_it_out(name: str) -> None:
    key, golden = KEYS[name]
    assert encode_key(key).hex() == bytes.fromhex(golden).hex()


@pytest.mark.parametrize("name", KEYS)
def test_key_is_decoded_to_its_fields(name: str) -> None:
    key, golden = KEYS[name]
    assert decode_key(bytes.fromhex(golden)) == key


@pytest.mark.parametrize("name", KEYS)
def test_every_prefix_of_a_key_is_refused_or_a_shorter_key(name: str) -> None:
    raw = bytes.fromhex(KEYS[name][1])
    for length in range(len(raw)):
        with suppress(OdpError):
            decode_key(raw[:length])
            assert length % 4 == 0


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_are_encoded_as_the_kernel_lays_them_out(name: str) -> None:
    actions, golden = ACTIONS[name]
    assert encode_actions(actions).hex() == bytes.fromhex(golden).hex()


@pytest.mark.parametrize("name", ACTIONS)
def test_actions_are_decoded_to_what_they_say(name: str) -> None:
    actions, golden = ACTIONS[name]
    assert decode_actions(bytes.fromhex(golden)) == actions


@pytest.mark.parametrize("name", ACTIONS)
def test_every_prefix_of_actions_is_refused_or_a_shorter_list(name: str) -> None:
    actions, golden = ACTIONS[name]
    raw = bytes.fromhex(golden)
    for length in range(len(raw)):
        with suppress(OdpError):
            shorter = decode_actions(raw[:length])
            assert actions[: len(shorter)] == shorter


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_encoded_as_the_uapi_lays_it_out(name: str) -> None:
    body, flags, golden = REQUESTS[name]
    encoded = encode_request(body, families=FAMILIES, seq=7, pid=9, flags=flags)
    assert encoded.hex() == bytes.fromhex(golden).hex()


@pytest.mark.parametrize("name", REQUESTS)
def test_request_is_decoded_with_its_header(name: str) -> None:
    body, flags, golden = REQUESTS[name]
    (request,) = decode_request(bytes.fromhex(golden), FAMILIES)
    assert request.body == body
    header = request.header
    assert (header.seq, header.pid, header.flags) == (7, 9, flags | c.NLM_F_REQUEST)
    assert header.dump == (flags == c.NLM_F_DUMP)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_prefix_of_a_request_leaves_the_whole_ones_before_it(name: str) -> None:
    first = bytes.fromhex(REQUESTS["flush flows"][2])
    golden = bytes.fromhex(REQUESTS[name][2])
    for length in range(1, len(golden) - 3):
        with pytest.raises(OdpError):
            decode_request(golden[:length], FAMILIES)
        (request,) = decode_request(first + golden[:length], FAMILIES)
        assert request.body == REQUESTS["flush flows"][0]


@pytest.mark.parametrize("name", REQUESTS)
def test_every_cut_of_a_requests_attributes_is_read_or_malformed(name: str) -> None:
    golden = bytes.fromhex(REQUESTS[name][2])
    for length in range(16, len(golden)):
        shorter = length.to_bytes(4, "little") + golden[4:length]
        (request,) = decode_request(shorter, FAMILIES)
        assert request.header.length == length


@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_encoded_as_the_kernel_lays_it_out(name: str) -> None:
    _, encoded, golden = REPLIES[name]
    assert encoded.hex() == bytes.fromhex(golden).hex()


@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_decoded_to_what_it_says(name: str) -> None:
    reply, _, golden = REPLIES[name]
    assert decode_replies(bytes.fromhex(golden), FAMILIES) == (reply,)


@pytest.mark.parametrize("name", REPLIES)
def test_every_prefix_of_a_reply_is_refused(name: str) -> None:
    golden = bytes.fromhex(REPLIES[name][2])
    for length in range(1, len(golden) - 3):
        with pytest.raises(OdpError):
            decode_replies(golden[:length], FAMILIES)
    for length in range(16, len(golden)):
        with suppress(OdpError):
            decode_replies(length.to_bytes(4, "little") + golden[4:length], FAMILIES)


def test_replies_of_one_datagram_come_in_their_order() -> None:
    datagram = b"".join(encoded for _, encoded, _ in REPLIES.values())
    assert decode_replies(datagram, FAMILIES) == tuple(reply for reply, _, _ in REPLIES.values())


def test_upcalls_are_read_and_other_attributes_passed_over() -> None:
    frame = bytes(range(12))
    assert decode_upcall(cases.MISS) == Upcall(c.OVS_PACKET_CMD_MISS, 3, cases.UDP_KEY, frame)
    assert decode_upcall(cases.ACTION) == Upcall(
        c.OVS_PACKET_CMD_ACTION, 3, cases.UDP_KEY, bytes(range(13)), b"cafe"
    )


def test_upcalls_are_encoded_as_the_kernel_lays_them_out() -> None:
    miss = encode_upcall(
        0x23, 3, c.OVS_PACKET_CMD_MISS, cases.UDP_KEY, bytes(range(12)),
        packet_hash=0x1122334455667788,
    )  # fmt: skip
    assert miss.hex() == cases.MISS.hex()
    action = encode_upcall(
        0x23, 3, c.OVS_PACKET_CMD_ACTION, cases.UDP_KEY, bytes(range(13)), b"cafe"
    )
    assert action.hex() == cases.ACTION.hex()


def test_an_upcall_may_end_without_padding() -> None:
    # As with OVS_DP_F_UNALIGNED.
    unaligned = cases.ACTION[:-3]
    unaligned = len(unaligned).to_bytes(4, "little") + unaligned[4:]
    assert decode_upcall(unaligned).frame == bytes(range(13))


def test_every_prefix_of_an_upcall_is_refused() -> None:
    for length in range(len(cases.MISS)):
        with pytest.raises(OdpError):
            decode_upcall(cases.MISS[:length])
        with pytest.raises(OdpError):
            decode_upcall(length.to_bytes(4, "little") + cases.MISS[4:length])


def test_what_the_datapath_cannot_do_is_told_from_what_is_malformed() -> None:
    new_vport = bytearray.fromhex(REQUESTS["new vport"][2])
    new_vport[16] = 99
    (unknown,) = decode_request(bytes(new_vport), FAMILIES)
    assert type(unknown.body).__name__ == "Unsupported"
    lacking = encode_request(REQUESTS["get vport"][0], families=FAMILIES, seq=1, pid=2)
    lacking = lacking[:16] + b"\1" + lacking[17:]
    (malformed,) = decode_request(lacking, FAMILIES)
    assert isinstance(malformed.body, Malformed)


def test_a_reply_of_a_foreign_family_is_refused() -> None:
    with pytest.raises(OdpError):
        decode_replies(bytes.fromhex("14000000 9900 0000 07000000 09000000 00000000"), FAMILIES)
