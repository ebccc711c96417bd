"""Netlink's own rules: many messages in one send, acknowledgements, and what is no request."""

import errno
import struct

import pytest

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Output, encode_actions
from actors.datapath.odp.messages import NLMSG_HEADER, ovs_message
from actors.datapath.odp.replies import Acknowledged, FlowInfo, NetlinkRefused
from actors.datapath.odp.requests import DeleteFlow, GetDatapath, NewFlow
from tests.datapath.conformance.bench import Bench
from tests.datapath.conformance.frames import MAC_A, MAC_B, Frame

_ACTIONS = encode_actions((Output(2),))


@pytest.fixture
def creates(bench: Bench) -> list[tuple[int, bytes]]:
    """Twenty flow creates."""
    key = bench.key_of(Frame().raw())
    at = key.index(MAC_A + MAC_B)
    return [
        bench.dialogue.encode(
            NewFlow(
                bench.dp, key[: at + 5] + bytes((number,)) + key[at + 6 :], _ACTIONS, None,
                number.to_bytes(16),
            ),
            odp.NLM_F_CREATE,
        )
        for number in range(100, 120)
    ]  # fmt: skip


def _barrier(bench: Bench) -> tuple[int, bytes]:
    return bench.dialogue.encode(GetDatapath(bench.dp), odp.NLM_F_ACK)


def test_one_failure_is_told_under_its_number_and_the_others_are_done(
    bench: Bench, creates: list[tuple[int, bytes]]
) -> None:
    (_, first), (again, second) = creates[0], creates[5]
    bench.dialogue.send(first)
    duplicate = struct.pack("=I", creates[0][0] + 1000)
    number = creates[0][0] + 1000
    bench.dialogue.send(
        *(message for _, message in creates[1:5]),
        first[:8] + duplicate + first[12:],
        *(message for _, message in creates[5:]),
    )
    assert bench.dialogue.next_reply() == NetlinkRefused(number, errno.EEXIST)
    assert len(bench.flows()) == 20
    assert again
    assert second


def test_an_acknowledged_message_is_a_barrier_for_those_before_it(
    bench: Bench, creates: list[tuple[int, bytes]]
) -> None:
    number, message = creates[-1]
    kind, flags = struct.unpack_from("=HH", message, 4)
    acknowledged = message[:4] + struct.pack("=HH", kind, flags | odp.NLM_F_ACK) + message[8:]
    bench.dialogue.send(*(each for _, each in creates[:-1]), acknowledged)
    assert bench.dialogue.next_reply() == Acknowledged(number)
    assert len(bench.flows()) == 20


def test_a_corrupt_length_drops_its_message_and_all_behind_it(
    bench: Bench, creates: list[tuple[int, bytes]]
) -> None:
    messages = [message for _, message in creates]
    for length in (3, 1 << 20):
        messages[10] = struct.pack("=I", length) + messages[10][4:]
        bench.dialogue.send(*messages)
        assert len(bench.flows()) == 10
        bench.reset()


def test_echoed_deletes_answer_in_their_order(
    bench: Bench, creates: list[tuple[int, bytes]]
) -> None:
    bench.dialogue.send(*(message for _, message in creates))
    deletes = [
        bench.dialogue.encode(DeleteFlow(bench.dp, number.to_bytes(16), None, 7), odp.NLM_F_ECHO)
        for number in (105, 103, 99, 119)
    ]
    bench.dialogue.send(*(message for _, message in deletes))
    replies = [bench.dialogue.next_reply() for _ in deletes]
    assert [reply.seq for reply in replies] == [number for number, _ in deletes]
    assert isinstance(replies[2], NetlinkRefused)
    assert [r.ufid for r in replies if isinstance(r, FlowInfo)] == [
        number.to_bytes(16) for number in (105, 103, 119)
    ]


def test_what_is_no_request_is_acknowledged_and_nothing_else(bench: Bench) -> None:
    control = NLMSG_HEADER.pack(16, odp.NLMSG_NOOP, odp.NLM_F_REQUEST | odp.NLM_F_ACK, 77, 0)
    bench.dialogue.send(control)
    assert bench.dialogue.next_reply() == Acknowledged(77)
    silent = NLMSG_HEADER.pack(16, odp.NLMSG_NOOP, odp.NLM_F_REQUEST, 78, 0)
    number, barrier = _barrier(bench)
    bench.dialogue.send(silent, barrier)
    bench.dialogue.answers(number)


def test_unknown_commands_and_families_are_refused(bench: Bench) -> None:
    for family, cmd, code in (
        (bench.dialogue.families.flow, 99, errno.EOPNOTSUPP),
        (bench.dialogue.families.packet, odp.OVS_PACKET_CMD_MISS, errno.EOPNOTSUPP),
        (0x3FF, 1, errno.ENOENT),
    ):
        message = ovs_message(
            family, cmd, 1, b"", dp_ifindex=bench.dp, seq=88,
            pid=0, flags=odp.NLM_F_REQUEST,
        )  # fmt: skip
        bench.dialogue.send(message)
        assert bench.dialogue.next_reply() == NetlinkRefused(88, code)


def test_a_message_without_its_datapath_header_is_refused(bench: Bench) -> None:
    family = bench.dialogue.families.flow
    header = NLMSG_HEADER.pack(20, family, odp.NLM_F_REQUEST, 99, 0)
    bench.dialogue.send(header + struct.pack("=BBH", odp.OVS_FLOW_CMD_GET, 1, 0))
    assert bench.dialogue.next_reply() == NetlinkRefused(99, errno.EINVAL)
