"""FlowRequests: answers requests about flows, and executes packets (ovs_flow, ovs_packet).

It follows ovs_flow_cmd_*() and ovs_packet_cmd_execute() of net/openvswitch/datapath.c, error
numbers included.
"""

import errno
from typing import Final, NamedTuple

from actors.datapath.odp import constants as odp
from actors.datapath.odp.actions import Action, decode_actions
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.key import decode_key, encode_key
from actors.datapath.odp.mask import exact_mask
from actors.datapath.odp.replies import FlowInfo
from actors.datapath.odp.requests import (
    DeleteFlow,
    ExecutePacket,
    GetFlow,
    NewFlow,
    SetFlow,
)
from actors.datapath.soft.actions import Step, compile_actions
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.flow_table import Flow, TableFullError
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.key_rules import (
    check_actions,
    check_key,
    check_mask,
    check_metadata,
    rewrites_of,
)
from actors.datapath.soft.mask import masking_of
from actors.datapath.soft.match import MaskReader
from actors.datapath.soft.packet import MAX_FRAME, Packet
from actors.datapath.soft.refusal import Refused
from actors.packets.extract import flow_key_of
from actors.packets.flow_key import FlowKey

_COMPILED: Final = 4096
"""Action lists whose steps are kept; when full, all are forgotten."""
_NOT_TO_MODIFY: Final = odp.NLM_F_CREATE | odp.NLM_F_EXCL
_ETHERNET_HEADER: Final = 14
_TCP_FLAGS: Final = 0xFF
"""A flow reports the low byte only."""


class _Program(NamedTuple):
    """Actions made ready, and those among them that not every packet can take."""

    steps: tuple[Step, ...]
    rewrites: tuple[Action, ...]


class FlowRequests:
    """Makes, describes, changes and removes flows."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._compiled: dict[bytes, _Program] = {}
        self._masks = MaskReader()
        self._packet = Packet()

    def new_flow(self, seq: int, request: NewFlow, flags: int) -> FlowInfo:
        """Make a flow; one that is there, or overlaps, is EEXIST or gets the new actions."""
        datapath = self._inventory.find(request.dp_ifindex)
        program = self._program(request.actions)
        try:
            key = decode_key(request.raw_key)
            check_key(request.raw_key, key)
            mask = self._masks.read(request.raw_key, request.mask)
            check_mask(key, mask)
            masked = masking_of(mask)(key)
            check_actions(program.rewrites, masked)
        except OdpError as error:
            raise Refused(errno.EINVAL, str(error)) from error
        table = datapath.table
        ufid = request.ufid or b""
        found = table.by_ufid(ufid) if ufid else None
        if found is None:
            found = table.overlapping(masked)
        if found is None:
            flow = Flow(ufid=ufid, key=key, mask=mask)
            flow.raw_key = request.raw_key
            flow.raw_mask = request.mask or b""
            try:
                table.insert(flow)
            except TableFullError as error:
                raise Refused(error.code, "the flow table is full") from error
        else:
            if flags & _NOT_TO_MODIFY:
                raise Refused(errno.EEXIST, "a flow matches this key already")
            flow = self._same(datapath, found, key, ufid)
        flow.raw_actions = request.actions
        flow.steps = program.steps
        return describe_flow(seq, odp.OVS_FLOW_CMD_NEW, datapath, flow)

    def _same(self, datapath: Datapath, found: Flow, key: FlowKey, ufid: bytes) -> Flow:
        """Return the flow with the request's own identity, which may not be the one found."""
        same = datapath.table.by_ufid(ufid) if ufid else datapath.table.by_key(key)
        if same is None and (found.ufid or ufid):
            raise Refused(errno.ENOENT, "the flow that is there has another identity")
        return same or found

    def set_flow(self, seq: int, request: SetFlow) -> FlowInfo:
        """Change a flow's actions, or clear its counters."""
        if request.raw_key is None:
            raise Refused(errno.EINVAL, "a flow is set by its key")
        datapath = self._inventory.find(request.dp_ifindex)
        program = None if request.actions is None else self._program(request.actions)
        flow = self._find(datapath, request.ufid, request.raw_key)
        if program is not None and request.actions is not None:
            _check_fit(program, masking_of(flow.mask)(flow.key))
            flow.raw_actions = request.actions
            flow.steps = program.steps
        if request.clear:
            flow.clear()
        return describe_flow(seq, odp.OVS_FLOW_CMD_SET, datapath, flow)

    def get_flow(self, seq: int, request: GetFlow) -> FlowInfo:
        """Describe one flow."""
        datapath = self._inventory.find(request.dp_ifindex)
        flow = self._find(datapath, request.ufid, request.raw_key)
        return describe_flow(seq, odp.OVS_FLOW_CMD_NEW, datapath, flow, request.ufid_flags)

    def delete_flow(self, seq: int, request: DeleteFlow) -> FlowInfo | None:
        """Remove a flow and describe it; without an identity remove all, and say nothing."""
        datapath = self._inventory.find(request.dp_ifindex)
        if request.ufid is None and request.raw_key is None:
            datapath.table.clear()
            return None
        flow = self._find(datapath, request.ufid, request.raw_key)
        datapath.table.remove(flow)
        return describe_flow(seq, odp.OVS_FLOW_CMD_DEL, datapath, flow, request.ufid_flags)

    def _find(self, datapath: Datapath, ufid: bytes | None, raw_key: bytes | None) -> Flow:
        if ufid:
            flow = datapath.table.by_ufid(ufid)
        elif raw_key is not None:
            try:
                flow = datapath.table.by_key(decode_key(raw_key))
            except OdpError as error:
                raise Refused(errno.EINVAL, str(error)) from error
        else:
            raise Refused(errno.EINVAL, "neither key nor unique id of a flow")
        if flow is None:
            raise Refused(errno.ENOENT, "no such flow")
        return flow

    def execute(self, request: ExecutePacket) -> None:
        """Apply actions to a frame, as if it had come in with the key's metadata."""
        if len(request.frame) < _ETHERNET_HEADER:
            raise Refused(errno.ERANGE, f"a frame of {len(request.frame)} bytes")  # packet_policy
        if len(request.frame) > MAX_FRAME:
            raise Refused(errno.EINVAL, f"a frame of {len(request.frame)} bytes")
        datapath = self._inventory.find(request.dp_ifindex)
        program = self._program(request.actions)
        try:
            key = decode_key(request.raw_key)
            check_metadata(request.raw_key, key)
        except OdpError as error:
            raise Refused(errno.EINVAL, str(error)) from error
        packet = self._packet
        packet.load(request.frame)
        packet.in_port = key.in_port
        packet.tunnel = key.tunnel
        if program.rewrites:
            _check_fit(program, flow_key_of(packet.head(), packet.in_port, packet.tunnel))
        datapath.execute(packet, program.steps)

    def _program(self, raw: bytes) -> _Program:
        program = self._compiled.get(raw)
        if program is None:
            try:
                actions = decode_actions(raw)
                program = _Program(compile_actions(actions), rewrites_of(actions))
            except OdpError as error:
                raise Refused(errno.EINVAL, str(error)) from error
            if len(self._compiled) >= _COMPILED:
                self._compiled.clear()
            self._compiled[raw] = program
        return program


def _check_fit(program: _Program, key: FlowKey) -> None:
    try:
        check_actions(program.rewrites, key)
    except OdpError as error:
        raise Refused(errno.EINVAL, str(error)) from error


def describe_flow(
    seq: int, cmd: int, datapath: Datapath, flow: Flow, ufid_flags: int = 0
) -> FlowInfo:
    """Return what a reply says of a flow; a flow without a unique id always tells its key."""
    if not flow.ufid:
        ufid_flags = 0
    return FlowInfo(
        seq=seq,
        cmd=cmd,
        dp_ifindex=datapath.ifindex,
        ufid=flow.ufid or None,
        raw_key=None if ufid_flags & odp.OVS_UFID_F_OMIT_KEY else _told_key(flow),
        mask=None if ufid_flags & odp.OVS_UFID_F_OMIT_MASK else _told_mask(flow),
        actions=None if ufid_flags & odp.OVS_UFID_F_OMIT_ACTIONS else flow.raw_actions,
        packets=flow.packets,
        bytes=flow.bytes,
        used=flow.used,
        tcp_flags=flow.tcp_flags & _TCP_FLAGS,
    )


def _told_key(flow: Flow) -> bytes:
    """Return the key as ovs_flow_cmd_fill_info() puts it: masked, unless it is the identity."""
    if not flow.ufid:
        return flow.raw_key
    try:
        return encode_key(masking_of(flow.mask)(flow.key))
    except OdpError:
        return flow.raw_key  # what is left of it has no netlink form


def _told_mask(flow: Flow) -> bytes:
    """Return the mask; of a flow that was made without one, that which matches its whole key."""
    return flow.raw_mask or exact_mask(flow.raw_key)
