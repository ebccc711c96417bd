"""Counting the echoes of flow deletes comes to what decoding them would."""

from hypothesis import given
from hypothesis import strategies as st

from actors.datapath.odp.deletions import count_deletions
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import FlowInfo
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.reply_encoding import encode_done, encode_reply
from actors.datapath.sequence import CREATE_BITS, DELETE_BITS, KIND_DELETE, kind_of

FAMILIES = Families(20, 21, 22, 23)
PID = 7

flows = st.builds(
    FlowInfo,
    seq=st.integers(0, 50).map(lambda n: DELETE_BITS | n),
    cmd=st.just(2),
    dp_ifindex=st.integers(1, 5),
    ufid=st.binary(min_size=16, max_size=16),
)
used = st.builds(
    FlowInfo,
    seq=st.integers(0, 50).map(lambda n: DELETE_BITS | n),
    cmd=st.just(2),
    dp_ifindex=st.integers(1, 5),
    ufid=st.binary(min_size=16, max_size=16),
    packets=st.integers(1, 1 << 40),
    bytes=st.integers(1, 1 << 50),
    used=st.integers(1, 1 << 50),
    tcp_flags=st.integers(0, 255),
)
others = st.builds(
    FlowInfo,
    seq=st.sampled_from([5, CREATE_BITS | 5]),
    cmd=st.just(1),
    dp_ifindex=st.just(1),
    ufid=st.one_of(st.none(), st.binary(max_size=16)),
)


def encoded(infos: list[FlowInfo], pid: int = PID) -> bytes:
    return b"".join(encode_reply(info, families=FAMILIES, pid=pid) for info in infos)


@given(st.lists(flows, max_size=150))
def test_echoes_of_unused_flows_are_counted(infos: list[FlowInfo]) -> None:
    datagram = encoded(infos)
    gone = count_deletions(datagram, FAMILIES.flow, PID)
    assert (gone.end, gone.flows, gone.packets, gone.octets) == (len(datagram), len(infos), 0, 0)


@given(st.lists(st.one_of(flows, used), max_size=20))
def test_statistics_are_added_up(infos: list[FlowInfo]) -> None:
    datagram = encoded(infos)
    gone = count_deletions(datagram, FAMILIES.flow, PID)
    assert gone.end == len(datagram)
    assert gone.flows == len(infos)
    assert gone.packets == sum(info.packets for info in infos)
    assert gone.octets == sum(info.bytes for info in infos)


@given(st.lists(st.one_of(flows, used), max_size=4), others, st.lists(flows, max_size=3))
def test_what_is_no_echo_of_a_deletion_is_left_with_all_behind_it(
    before: list[FlowInfo], other: FlowInfo, behind: list[FlowInfo]
) -> None:
    gone = count_deletions(encoded([*before, other, *behind]), FAMILIES.flow, PID)
    assert gone.end == len(encoded(before))
    assert gone.flows == len(before)


def test_what_others_deleted_is_left() -> None:
    info = FlowInfo(DELETE_BITS | 3, 2, 1, bytes(16))
    for datagram in (encoded([info], PID + 1), encode_done(DELETE_BITS | 3, PID), b""):
        assert count_deletions(datagram, FAMILIES.flow, PID).end == 0


@given(st.lists(st.one_of(flows, used), min_size=1, max_size=4), st.data())
def test_whatever_the_bytes_no_more_is_counted_than_the_decoder_would(
    infos: list[FlowInfo], data: st.DataObject
) -> None:
    broken = bytearray(encoded(infos))
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    datagram = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    gone = count_deletions(datagram, FAMILIES.flow, PID)
    try:
        replies = decode_replies(datagram[: gone.end], FAMILIES, PID)
    except OdpError as error:
        raise AssertionError("what was counted cannot be decoded") from error
    assert len(replies) == gone.flows
    for reply in replies:
        assert isinstance(reply, FlowInfo)
        assert kind_of(reply.seq) == KIND_DELETE
    assert gone.packets == sum(r.packets for r in replies if isinstance(r, FlowInfo))
