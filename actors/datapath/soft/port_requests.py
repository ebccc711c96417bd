"""PortRequests: answers requests about datapaths and their ports (ovs_datapath, ovs_vport).

It follows ovs_dp_cmd_*() and ovs_vport_cmd_*() of net/openvswitch/datapath.c, error numbers
included. It owns which port has which number; devices are opened by the port factory.
"""

import errno
import itertools
import logging
from typing import Final

from actors.datapath.odp import constants as odp
from actors.datapath.odp.replies import (
    DatapathInfo,
    DatapathStats,
    MegaflowStats,
    VportInfo,
    VportStats,
)
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteVport,
    GetDatapath,
    GetVport,
    NewDatapath,
    NewVport,
    SetDatapath,
    SetVport,
)
from actors.datapath.soft.clock import TurnClock
from actors.datapath.soft.datapath import Datapath
from actors.datapath.soft.inventory import Inventory
from actors.datapath.soft.limits import MAX_DATAPATHS, MAX_PORTS
from actors.datapath.soft.loop import Loop
from actors.datapath.soft.ports.factory import PortFactory
from actors.datapath.soft.ports.port import Port, PortUnavailableError
from actors.datapath.soft.ports.tap import InternalPort, NoDevicePort, tap_is_usable
from actors.datapath.soft.refusal import Refused
from actors.datapath.soft.upcalls import UpcallSender

_LOG = logging.getLogger(__name__)
_LOCAL: Final = 0
_NO_DEVICE_IFINDEX: Final = 1 << 30
"""Where the ifindexes begin of datapaths whose local port has no device."""
_TUNNEL_TAKEN: Final = {
    odp.OVS_VPORT_TYPE_GRE: errno.EEXIST,
    odp.OVS_VPORT_TYPE_VXLAN: errno.EEXIST,
    odp.OVS_VPORT_TYPE_GENEVE: errno.EBUSY,
}
"""What ipgre_newlink(), vxlan_config_validate() and geneve_configure() say to a second device."""
_KNOWN_FEATURES: Final = odp.OVS_DP_F_UNALIGNED | odp.OVS_DP_F_VPORT_PIDS


class PortRequests:
    """Makes, describes and removes datapaths and ports."""

    def __init__(
        self, inventory: Inventory, loop: Loop, upcalls: UpcallSender, clock: TurnClock
    ) -> None:
        self._inventory = inventory
        self._loop = loop
        self._upcalls = upcalls
        self._clock = clock
        self._factory = PortFactory()
        self._ifindexes = itertools.count(_NO_DEVICE_IFINDEX)

    def new_datapath(self, seq: int, request: NewDatapath) -> DatapathInfo:
        """Make a datapath and its local port."""
        features = request.user_features or 0
        if features & ~_KNOWN_FEATURES:
            raise Refused(errno.EOPNOTSUPP, f"user features {features:#x}")
        if self._inventory.port_named(request.name) is not None:
            raise Refused(errno.EEXIST, f"datapath {request.name}")
        if len(self._inventory) >= MAX_DATAPATHS:
            raise Refused(errno.EMFILE, f"{MAX_DATAPATHS} datapaths are there")
        local = self._open_local(request.name)
        local.upcall_pid = request.upcall_pid
        ifindex = local.ifindex or next(self._ifindexes)
        datapath = Datapath(request.name, ifindex, self._upcalls, self._clock)
        datapath.user_features = features
        self._inventory.add(datapath)
        self._plug(datapath, local)
        return describe_datapath(seq, odp.OVS_DP_CMD_NEW, datapath)

    def set_datapath(self, seq: int, request: SetDatapath) -> DatapathInfo:
        """Change a datapath's features."""
        if request.user_features & ~_KNOWN_FEATURES:
            raise Refused(errno.EOPNOTSUPP, f"user features {request.user_features:#x}")
        datapath = self._inventory.find(0, request.name)
        datapath.user_features = request.user_features
        return describe_datapath(seq, odp.OVS_DP_CMD_SET, datapath)

    def _open_local(self, name: str) -> Port:
        if not tap_is_usable():
            _LOG.warning("/dev/net/tun is not usable: the local port of %s has no device", name)
            return NoDevicePort(_LOCAL, name)
        try:
            return InternalPort(_LOCAL, name)
        except PortUnavailableError as error:
            raise Refused(error.errno or errno.ENODEV, str(error)) from error

    def get_datapath(self, seq: int, request: GetDatapath) -> DatapathInfo:
        """Describe one datapath."""
        datapath = self._inventory.find(request.dp_ifindex, request.name)
        return describe_datapath(seq, odp.OVS_DP_CMD_NEW, datapath)

    def delete_datapath(self, seq: int, request: DeleteDatapath) -> DatapathInfo:
        """Remove a datapath with its ports and flows."""
        datapath = self._inventory.find(request.dp_ifindex, request.name)
        info = describe_datapath(seq, odp.OVS_DP_CMD_DEL, datapath)
        self._remove(datapath)
        return info

    def new_vport(self, seq: int, request: NewVport) -> VportInfo:
        """Open a device and make it a port."""
        datapath = self._inventory.find(request.dp_ifindex)
        number = self._number(datapath, request.port_no)
        found = self._inventory.port_named(request.name)
        if found is not None:
            # __netdev_upper_dev_link(): a link has one master, and is told when it is the same.
            netdev = request.type == odp.OVS_VPORT_TYPE_NETDEV
            elsewhere = netdev and found[0] is not datapath
            raise Refused(errno.EBUSY if elsewhere else errno.EEXIST, f"port {request.name}")
        taken = _TUNNEL_TAKEN.get(request.type)
        if taken and self._inventory.has_tunnel(request.type, request.dst_port):
            raise Refused(taken, "another tunnel port takes the same packets")
        try:
            port = self._factory.open(request.type, number, request.name, request.dst_port)
        except PortUnavailableError as error:
            raise Refused(error.errno or errno.ENODEV, str(error)) from error
        except OSError as error:
            code = error.errno or errno.EIO
            raise Refused(code, f"port {request.name}: {error}") from error
        port.upcall_pid = request.upcall_pids[0]
        self._plug(datapath, port)
        return describe_port(seq, odp.OVS_VPORT_CMD_NEW, datapath, port)

    def _number(self, datapath: Datapath, wanted: int | None) -> int:
        if not wanted:  # the local port's number, 0, asks for any
            number = next(n for n in itertools.count(1) if n not in datapath.ports)
        else:
            number = wanted
            if number in datapath.ports:
                raise Refused(errno.EBUSY, f"port number {number} is taken")
        if number >= MAX_PORTS:
            raise Refused(errno.EFBIG, f"port number {number}")
        return number

    def _plug(self, datapath: Datapath, port: Port) -> None:
        datapath.ports[port.number] = port
        self._loop.watch(datapath, port)

    def get_vport(self, seq: int, request: GetVport) -> VportInfo:
        """Describe one port."""
        datapath, port = self._find(request)
        return describe_port(seq, odp.OVS_VPORT_CMD_NEW, datapath, port)

    def set_vport(self, seq: int, request: SetVport) -> VportInfo:
        """Change who gets a port's upcalls."""
        datapath, port = self._find(request)
        if request.upcall_pids is not None:
            port.upcall_pid = request.upcall_pids[0]
        return describe_port(seq, odp.OVS_VPORT_CMD_SET, datapath, port)

    def delete_vport(self, seq: int, request: DeleteVport) -> VportInfo:
        """Remove a port; the local one stays as long as its datapath."""
        datapath, port = self._find(request)
        if port.number == _LOCAL:
            raise Refused(errno.EINVAL, "the local port cannot be deleted")
        info = describe_port(seq, odp.OVS_VPORT_CMD_DEL, datapath, port)
        self.unplug(datapath, port)
        return info

    def _find(self, request: GetVport | SetVport | DeleteVport) -> tuple[Datapath, Port]:
        if request.name is not None:
            found = self._inventory.port_named(request.name)
            if found is None or request.dp_ifindex not in {0, found[0].ifindex}:
                raise Refused(errno.ENODEV, f"no port {request.name}")
            return found
        if request.port_no is None:
            raise Refused(errno.EINVAL, "neither name nor number of a port")
        if request.port_no >= MAX_PORTS:
            raise Refused(errno.EFBIG, f"port number {request.port_no}")
        datapath = self._inventory.find(request.dp_ifindex)
        port = datapath.ports.get(request.port_no)
        if port is None:
            raise Refused(errno.ENODEV, f"no port {request.port_no}")
        return datapath, port

    def unplug(self, datapath: Datapath, port: Port) -> None:
        """Remove a port, by request or because its device went away."""
        if not port.alive:
            _LOG.warning("port %s of %s: its device has gone away", port.name, datapath.name)
        del datapath.ports[port.number]
        self._loop.unwatch(port)
        port.close()

    def _remove(self, datapath: Datapath) -> None:
        for port in tuple(datapath.ports.values()):
            self.unplug(datapath, port)
        datapath.table.clear()
        self._inventory.remove(datapath)

    def close(self) -> None:
        """Remove everything."""
        for datapath in self._inventory:
            self._remove(datapath)
        self._factory.close()


def describe_datapath(seq: int, cmd: int, datapath: Datapath) -> DatapathInfo:
    """Return what a reply says of a datapath."""
    table = datapath.table
    stats = DatapathStats(datapath.hits, datapath.missed, datapath.lost, len(table))
    return DatapathInfo(
        seq=seq,
        cmd=cmd,
        dp_ifindex=datapath.ifindex,
        name=datapath.name,
        stats=stats,
        user_features=datapath.user_features,
        megaflows=MegaflowStats(table.mask_hits, table.masks, table.cache_hits),
    )


def describe_port(seq: int, cmd: int, datapath: Datapath, port: Port) -> VportInfo:
    """Return what a reply says of a port."""
    port.refresh_drops()
    return VportInfo(
        seq=seq,
        cmd=cmd,
        dp_ifindex=datapath.ifindex,
        port_no=port.number,
        type=port.kind,
        name=port.name,
        upcall_pids=(port.upcall_pid,),
        stats=VportStats(
            rx_packets=port.rx_packets,
            tx_packets=port.tx_packets,
            rx_bytes=port.rx_bytes,
            tx_bytes=port.tx_bytes,
            rx_errors=port.rx_errors,
            tx_errors=port.tx_errors,
            rx_dropped=port.rx_dropped,
            tx_dropped=port.tx_dropped,
        ),
        dst_port=port.udp_port,
        ifindex=port.ifindex,
    )
