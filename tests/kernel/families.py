"""Asks the running kernel for generic netlink families (linux/genetlink.h), by name."""

import errno
import os
import shutil
import socket
import struct
import subprocess
from typing import Final

FAMILIES: Final = ("ovs_datapath", "ovs_vport", "ovs_flow", "ovs_packet")
"""The families of the openvswitch module that the agent speaks (linux/openvswitch.h)."""

_NETLINK_GENERIC: Final = 16
_CONTROLLER: Final = 0x10
_GET_FAMILY: Final = 3
_FAMILY_ID, _FAMILY_NAME = 1, 2
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADERS: Final = struct.Struct("=IHHIIBBH")
_MODULES: Final = ("openvswitch", "vport-vxlan", "vport-gre", "vport-geneve")


def resolve(family: str) -> int | None:
    """Return the family's number, None if the kernel does not know it; raise OSError otherwise."""
    name = family.encode() + b"\0"
    body = struct.pack("=HH", 4 + len(name), _FAMILY_NAME) + name + bytes(-len(name) % 4)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as netlink:
        netlink.settimeout(5)
        length = _HEADERS.size + len(body)
        head = _HEADERS.pack(length, _CONTROLLER, _NLM_F_REQUEST, 1, 0, _GET_FAMILY, 1, 0)
        netlink.sendto(head + body, (0, 0))
        reply = netlink.recv(65536)
    _, kind, *_ = _HEADERS.unpack_from(reply)
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", reply, 16)
        if -code == errno.ENOENT:
            return None
        raise OSError(-code, f"generic netlink: {os.strerror(-code)}")
    at = _HEADERS.size
    while at + 4 <= len(reply):
        size, attribute = struct.unpack_from("=HH", reply, at)
        if attribute == _FAMILY_ID:
            (number,) = struct.unpack_from("=H", reply, at + 4)
            return int(number)
        at += max(4, size + 3 & ~3)
    raise OSError(errno.EBADMSG, f"generic netlink: an answer without the number of {family}")


def have_openvswitch() -> bool:
    """Tell whether this kernel has openvswitch, after asking for the modules where we may."""
    modprobe = shutil.which("modprobe", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if modprobe and os.geteuid() == 0:
        for module in _MODULES:
            # Where that fails the families say so, or the kernel asks for the module itself.
            subprocess.run([modprobe, "-q", module], check=False, capture_output=True, timeout=60)
    return all(resolve(family) is not None for family in FAMILIES)
