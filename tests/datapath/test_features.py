"""What an agent finds out of a datapath, and which it refuses: far ends that lack one thing each."""

import errno
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from actors.datapath.features import Features, MissingFeatureError
from actors.datapath.handshake import DATAPATH_NAME, shake_hands
from actors.datapath.odp import constants as c
from actors.datapath.odp.actions import SetEthernet, decode_actions
from actors.datapath.odp.attributes import attribute
from actors.datapath.odp.read_requests import decode_request
from actors.datapath.odp.replies import DatapathInfo
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.reply_encoding import encode_ack, encode_reply
from actors.datapath.odp.requests import (
    DeleteFlow,
    Encodable,
    GetFlow,
    NewDatapath,
    NewFlow,
    SetDatapath,
    encode_request,
)
from actors.datapath.soft.families import AGENT_PID, FAMILIES
from actors.values import Nanoseconds
from tests.network_datapath import MemoryDatapath

AT = Nanoseconds(1)
ALL = Features(
    megaflows=True, ufids=True, masked_rewrites=True, unaligned=True, upcalls="shared"
)  # fmt: skip
UFID = bytes(range(16))


class FarEnd(MemoryDatapath):
    """A soft datapath that knows everything."""

    def __init__(self) -> None:
        super().__init__({}, lambda *_: None)

    def ask(self, body: Encodable, flags: int = 0) -> None:
        """Have a request performed, as somebody before the agent did."""
        super().send(encode_request(body, families=FAMILIES, seq=1, pid=0, flags=flags))
        assert not self.replies

    def inherit(self, mask: bytes | None = None) -> None:
        """Be a datapath that an earlier agent has left with a flow."""
        self.ask(NewDatapath(DATAPATH_NAME, 0))
        key = attribute(c.OVS_KEY_ATTR_IN_PORT, b"\1\0\0\0")
        key += attribute(c.OVS_KEY_ATTR_ETHERNET, bytes(12))
        key += attribute(c.OVS_KEY_ATTR_ETHERTYPE, b"\x88\xcc")
        flow = NewFlow(self.datapath.ifindex, key, b"", mask, UFID)
        self.ask(flow, c.NLM_F_CREATE)
        assert self.kept == [UFID]

    @property
    def kept(self) -> list[bytes]:
        """The identifiers of its flows."""
        return [flow.ufid for flow in self.flows()]


class WithoutMegaflows(FarEnd):
    """As before Linux 3.12: no word of masks."""

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        before = len(self.replies)
        status = super().send(requests)
        for place in range(before, len(self.replies)):
            (reply,) = decode_replies(self.replies[place], FAMILIES)
            if isinstance(reply, DatapathInfo):
                short = replace(reply, megaflows=None)
                self.replies[place] = encode_reply(short, families=FAMILIES, pid=AGENT_PID)
        return status


class WithoutUfids(FarEnd):
    """As before Linux 4.0: the attributes of identifiers are passed over."""

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        (request,) = decode_request(bytes(requests), FAMILIES)
        header, body = request.header, request.body
        if isinstance(body, NewFlow):
            body = replace(body, ufid=None)
        elif isinstance(body, GetFlow | DeleteFlow):
            body = replace(body, ufid=None, ufid_flags=0)
        else:
            return super().send(requests)
        flags = header.flags
        return super().send(
            encode_request(body, families=FAMILIES, seq=header.seq, pid=0, flags=flags)
        )


class WithoutMaskedRewrites(FarEnd):
    """As before Linux 4.0: that action is not known."""

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        (request,) = decode_request(bytes(requests), FAMILIES)
        body = request.body
        if isinstance(body, NewFlow) and any(
            isinstance(action, SetEthernet) for action in decode_actions(body.actions)
        ):
            self.replies.append(encode_ack(request.header, AGENT_PID, errno.EINVAL))
            return 0
        return super().send(requests)


class WithoutUserFeatures(FarEnd):
    """A datapath that refuses all features."""

    def send(self, requests: bytes | bytearray | memoryview) -> int:
        (request,) = decode_request(bytes(requests), FAMILIES)
        body = request.body
        if isinstance(body, NewDatapath | SetDatapath) and body.user_features:
            self.replies.append(encode_ack(request.header, AGENT_PID, errno.EOPNOTSUPP))
            return 0
        return super().send(requests)


LACKING: list[tuple[Callable[[], FarEnd], str]] = [
    (WithoutMegaflows, r"lacks flows with masks \(megaflows\):"),
    (WithoutUfids, "lacks unique identifiers of flows:"),
    (WithoutMaskedRewrites, "lacks rewrites under a mask:"),
]


def test_a_datapath_that_knows_everything_is_agreed_on() -> None:
    far_end = FarEnd()
    assert shake_hands(far_end, AT).features == ALL
    assert not far_end.flows()
    assert not far_end.replies


@pytest.mark.parametrize(("make", "said"), LACKING)
def test_what_the_agent_cannot_do_without_is_named_and_no_datapath_left(
    make: Callable[[], FarEnd], said: str
) -> None:
    far_end = make()
    with pytest.raises(MissingFeatureError, match=said):
        shake_hands(far_end, AT)
    assert not far_end.inventory.port_named(DATAPATH_NAME)
    assert not far_end.replies


@pytest.mark.parametrize(("make", "said"), LACKING)
def test_an_inherited_datapath_that_is_not_good_enough_stays_with_its_flows(
    make: Callable[[], FarEnd], said: str
) -> None:
    far_end = make()
    FarEnd.inherit(far_end)
    kept = far_end.kept
    with pytest.raises(MissingFeatureError, match=said):
        shake_hands(far_end, AT)
    assert far_end.kept == kept


def test_features_that_one_can_do_without_are_done_without() -> None:
    far_end = WithoutUserFeatures()
    assert shake_hands(far_end, AT).features == replace(ALL, unaligned=False)
    again = shake_hands(far_end, AT)
    assert again.connected.inherited
    assert again.features == replace(ALL, unaligned=False)


def test_inherited_flows_do_not_feel_the_probe() -> None:
    far_end = FarEnd()
    far_end.inherit()
    agreement = shake_hands(far_end, AT)
    assert agreement.connected.inherited
    assert agreement.features == ALL
    assert far_end.kept == [UFID]


def test_a_probe_that_a_killed_agent_left_is_removed() -> None:
    far_end = FarEnd()
    far_end.inherit()
    probes = [
        body
        for datagram in _all_sent(FarEnd())
        for body in [decode_request(datagram, FAMILIES)[0].body]
        if isinstance(body, NewFlow)
    ]
    assert probes
    left = replace(probes[0], dp_ifindex=far_end.datapath.ifindex)
    far_end.ask(left, c.NLM_F_CREATE)
    assert len(far_end.kept) == 2
    assert shake_hands(far_end, AT).features == ALL
    assert far_end.kept == [UFID]


def test_a_strangers_flow_that_matches_everything_hides_nothing() -> None:
    far_end = FarEnd()
    far_end.inherit(mask=attribute(c.OVS_KEY_ATTR_ETHERNET, bytes(12)))
    assert shake_hands(far_end, AT).features == ALL
    assert far_end.kept == [UFID]
    bodies = [decode_request(datagram, FAMILIES)[0].body for datagram in far_end.requests]
    assert any(isinstance(body, GetFlow) and body.raw_key is None for body in bodies)


def _all_sent(far_end: FarEnd) -> list[bytes]:
    shake_hands(far_end, AT)
    return far_end.requests
