"""What may be left out of an upcall's key, and what may not."""

import struct

import pytest

from actors.datapath.odp import constants as c
from actors.datapath.odp.attributes import walk
from actors.datapath.odp.key import (
    NO_METADATA,
    decode_key,
    metadata_of,
    without_zero_metadata,
)
from tests.datapath.odp.cases import KEYS

METADATA = {
    c.OVS_KEY_ATTR_RECIRC_ID, c.OVS_KEY_ATTR_DP_HASH, c.OVS_KEY_ATTR_PRIORITY,
    c.OVS_KEY_ATTR_SKB_MARK, c.OVS_KEY_ATTR_CT_STATE, c.OVS_KEY_ATTR_CT_ZONE,
    c.OVS_KEY_ATTR_CT_MARK, c.OVS_KEY_ATTR_CT_LABELS,
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_a_key_means_the_same_without_its_zero_metadata(name: str) -> None:
    key, golden = KEYS[name]
    raw = bytes.fromhex(golden)
    short = without_zero_metadata(raw)
    assert decode_key(short) == key
    if key.tunnel is not None:
        assert short == raw
        return
    left_out = [(kind, raw[a:b]) for kind, a, b in walk(raw) if kind in METADATA]
    assert left_out
    assert not any(any(value) for _, value in left_out)
    assert [(kind, short[a:b]) for kind, a, b in walk(short)] == [
        (kind, raw[a:b]) for kind, a, b in walk(raw) if kind not in METADATA
    ]
    assert without_zero_metadata(short) == short
    assert metadata_of(short) == struct.pack("=HHI", 8, c.OVS_KEY_ATTR_IN_PORT, key.in_port)


@pytest.mark.parametrize("kind", sorted(METADATA))
def test_a_key_keeps_all_its_metadata_if_any_of_it_is_not_zero(kind: int) -> None:
    raw = bytes.fromhex(KEYS["udp"][1])
    ((start, end),) = [(a, b) for k, a, b in walk(raw) if k == kind]
    marked = raw[: end - 1] + b"\1" + raw[end:]
    assert start < end
    assert without_zero_metadata(marked) == marked
    assert metadata_of(marked) == marked


def test_a_packet_that_entered_by_no_port_has_a_key_all_the_same() -> None:
    assert metadata_of(b"") == NO_METADATA
    assert without_zero_metadata(b"") == b""
