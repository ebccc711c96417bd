import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.packets.checksum import checksum_after_change, internet_checksum


def _by_definition(data: bytes) -> int:
    """RFC 1071, word by word."""
    if len(data) % 2:
        data += b"\0"
    total = sum(data[at] << 8 | data[at + 1] for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def test_checksum_of_the_example_of_rfc_1071_is_right() -> None:
    assert internet_checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\xff" * 6, b"\xff", b"\x12\x34\x56"])
def test_checksum_of_edge_cases_follows_the_definition(data: bytes) -> None:
    assert internet_checksum(data) == _by_definition(data)


@given(st.binary(max_size=200))
def test_checksum_follows_the_definition(data: bytes) -> None:
    assert internet_checksum(data) == _by_definition(data)


@given(st.binary(max_size=50).filter(lambda data: len(data) % 2 == 0), st.binary(max_size=50))
def test_checksum_may_begin_from_what_was_summed_before(first: bytes, second: bytes) -> None:
    assert internet_checksum(second, int.from_bytes(first)) == _by_definition(first + second)


@given(
    st.binary(min_size=20, max_size=20).filter(any),
    st.sampled_from([(0, 2), (8, 2), (12, 4), (4, 16)]),
    st.binary(min_size=16, max_size=16),
)
def test_incremental_update_gives_the_checksum_of_the_changed_data(
    data: bytes, place: tuple[int, int], fresh: bytes
) -> None:
    at, size = place
    changed = data[:at] + fresh[:size] + data[at + size :]
    if not any(changed):
        return  # all-zero data has two representations of its sum
    old, new = int.from_bytes(data[at : at + size]), int.from_bytes(fresh[:size])
    assert checksum_after_change(_by_definition(data), old, new) == _by_definition(changed)
