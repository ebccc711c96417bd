"""Handshake: what an agent says to a datapath before anything else, waiting for each answer.

Resolves the generic netlink families by name, and creates the datapath, or takes over the one
that an earlier agent left: its ports and flows work on meanwhile. Finds out what the datapath
offers (features.py), and refuses one that lacks what the agent cannot do without.
"""

import os
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.datapath.channel import DatapathChannel
from actors.datapath.dialogue import DatapathUnavailableError, Dialogue
from actors.datapath.features import Features, FlowProbe, MissingFeatureError, require
from actors.datapath.odp import constants as c
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import DatapathInfo, FamilyInfo, NetlinkRefused, Reply
from actors.datapath.odp.requests import (
    DeleteDatapath,
    GetFamily,
    NewDatapath,
    SetDatapath,
    encode_request,
)
from actors.messages.netlink import DatapathConnected
from actors.values import Nanoseconds

DATAPATH_NAME: Final = "ayatori"
EEXIST: Final = 17
NOBODY: Final = 0
_GONE: Final = frozenset({2, 19})
_NOT_OFFERED: Final = frozenset({22, 95})
"""EINVAL and EOPNOTSUPP: how kernels refuse a feature that they do not know."""


class Agreement(Struct, frozen=True):
    """What came of a handshake: what the lane has to know, and what the datapath offers."""

    connected: DatapathConnected
    features: Features


def shake_hands(
    channel: DatapathChannel, at: Nanoseconds, *, upcalls_by_cpu: bool = False
) -> Agreement:
    """Set the datapath up and find out what it offers.

    `upcalls_by_cpu` asks for one upcall socket for each CPU instead of one for each port, and gets
    it where the kernel offers that (Linux 5.15). Raises DatapathUnavailableError; of its kind
    MissingFeatureError, with no datapath left behind that was not there before.
    """
    dialogue = _Handshake(channel)
    families = tuple(dialogue.family(name) for name in c.OVS_FAMILIES)
    datapath, vport, flow, packet = (family.id for family in families)
    dialogue.families = Families(datapath=datapath, vport=vport, flow=flow, packet=packet)
    for family in families[:2]:  # of datapaths and vports: what becomes of them unasked
        for name, group in family.groups:
            if name == family.name:
                channel.listen(group)
    info, inherited = dialogue.datapath()
    index = info.dp_ifindex
    try:
        features = dialogue.features(info)
        require(features)
    except MissingFeatureError:
        if not inherited:
            dialogue.ask(DeleteDatapath(index), c.NLM_F_ACK)
        raise
    upcall_pid = channel.upcall_pid
    if upcall_pid:
        features = replace(features, upcalls="shared")
    elif upcalls_by_cpu:
        upcall_pid = dialogue.dispatch_by_cpu(features)
        features = replace(features, upcalls="cpu" if upcall_pid else "port")
    connected = DatapathConnected(
        at, datapath, vport, flow, packet, index, channel.reply_pid, upcall_pid, inherited
    )
    return Agreement(connected, features)


def has_openvswitch(channel: DatapathChannel) -> bool:
    """Tell whether the far end knows the protocol. Raises DatapathUnavailableError."""
    return _Handshake(channel).knows(c.OVS_DATAPATH_FAMILY)


def deletion(connected: DatapathConnected) -> bytes:
    """Return the request that deletes the datapath with its ports and flows."""
    families = Families(datapath=connected.datapath_family)
    return encode_request(DeleteDatapath(name=DATAPATH_NAME), families=families, seq=0, pid=0)


class _Handshake(Dialogue):
    """The requests of the handshake."""

    def family(self, name: str) -> FamilyInfo:
        """Return a generic netlink family and its groups."""
        reply = self.ask(GetFamily(name))
        if not isinstance(reply, FamilyInfo):
            raise DatapathUnavailableError(
                f"this kernel has no {name}: its openvswitch module is missing"
            )
        return reply

    def knows(self, name: str) -> bool:
        """Tell whether there is such a family."""
        return isinstance(self.ask(GetFamily(name)), FamilyInfo)

    def datapath(self) -> tuple[DatapathInfo, bool]:
        """Create the datapath; return what it says, and whether it was there already."""
        reply = self._with_best_features(
            lambda features: NewDatapath(DATAPATH_NAME, NOBODY, features)
        )
        inherited = isinstance(reply, NetlinkRefused) and reply.errno == EEXIST
        if inherited:
            reply = self._with_best_features(lambda features: SetDatapath(DATAPATH_NAME, features))
            if isinstance(reply, NetlinkRefused) and reply.errno in _GONE:
                raise DatapathUnavailableError(
                    f"no datapath: another kind of interface is called {DATAPATH_NAME}"
                )
        if isinstance(reply, NetlinkRefused):
            raise DatapathUnavailableError(f"no datapath: {os.strerror(reply.errno)}")
        if not isinstance(reply, DatapathInfo):
            raise DatapathUnavailableError(f"no datapath: {reply}")
        return reply, inherited

    def _with_best_features(self, body: Callable[[int], NewDatapath | SetDatapath]) -> Reply:
        reply = self.ask(body(c.OVS_DP_F_UNALIGNED), c.NLM_F_ECHO)
        if isinstance(reply, NetlinkRefused) and reply.errno in _NOT_OFFERED:
            reply = self.ask(body(0), c.NLM_F_ECHO)
        return reply

    def features(self, info: DatapathInfo) -> Features:
        """Find out what the datapath offers."""
        probe = FlowProbe(self, info.dp_ifindex)
        return Features(
            megaflows=info.megaflows is not None,
            ufids=probe.ufids(),
            masked_rewrites=probe.masked_rewrites(),
            unaligned=bool(info.user_features & c.OVS_DP_F_UNALIGNED),
        )

    def dispatch_by_cpu(self, features: Features) -> int:
        """Have upcalls sent by CPU; return a port id for vports to name, 0 if it is not offered."""
        channel = self.channel
        pids = tuple(channel.open_upcalls() for _ in range(os.cpu_count() or 1))
        wanted = c.OVS_DP_F_DISPATCH_UPCALL_PER_CPU
        wanted |= c.OVS_DP_F_UNALIGNED if features.unaligned else 0
        reply = self.ask(SetDatapath(DATAPATH_NAME, wanted, pids), c.NLM_F_ECHO)
        if isinstance(reply, DatapathInfo) and reply.user_features & wanted == wanted:
            return pids[0]
        for pid in pids:
            channel.close_upcalls(pid)
        if isinstance(reply, NetlinkRefused) and reply.errno not in _NOT_OFFERED:
            raise DatapathUnavailableError(f"no upcalls by CPU: {os.strerror(reply.errno)}")
        return 0
