"""Runs inside a machine: a VLAN of eth0 with an address. `python tagged_link.py VLAN ADDRESS/BITS`.

A VLAN link of the kernel's if it has the 8021q module, otherwise a TAP whose frames this program
tags and untags on their way over eth0. Prints `ready`, then runs until its standard input ends.
"""

import fcntl
import os
import select
import socket
import struct
import sys

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

# linux/if_tun.h, linux/if_packet.h
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000
_SOL_PACKET, _ADD_MEMBERSHIP, _AUXDATA, _IGNORE_OUTGOING, _PROMISCUOUS = 263, 1, 8, 23, 1
_VLAN_VALID = 1 << 4
_ETH_P_8021Q = 0x8100


def serve(vlan: int, address: str) -> None:
    """Make the link and carry its frames until standard input ends."""
    name = f"vlan{vlan}"
    with IPRoute() as route:
        eth0 = route.link_lookup(ifname="eth0")[0]
        tap = -1
        try:
            route.link("add", ifname=name, kind="vlan", link=eth0, vlan_id=vlan)
        except NetlinkError:
            tap = os.open("/dev/net/tun", os.O_RDWR)
            wish = struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI)
            fcntl.ioctl(tap, _TUNSETIFF, wish)
        index = route.link_lookup(ifname=name)[0]
        (link,) = route.get_links(eth0)
        route.link("set", index=index, mtu=link.get_attr("IFLA_MTU"), state="up")
        host, bits = address.split("/")
        route.addr("add", index=index, address=host, prefixlen=int(bits))
        wire = None if tap < 0 else _wire(eth0)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if wire is None:
            sys.stdin.read()
        else:
            _carry(vlan, tap, wire)


def _wire(eth0: int) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(_SOL_PACKET, _AUXDATA, 1)
    wire.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    wire.bind(("eth0", 0x0003))
    wire.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8s", eth0, _PROMISCUOUS, 0, b""))
    return wire


def _carry(vlan: int, tap: int, wire: socket.socket) -> None:
    tag = struct.pack("!HH", _ETH_P_8021Q, vlan)
    while True:
        ready, _, _ = select.select([0, tap, wire.fileno()], [], [])
        if 0 in ready and not os.read(0, 1):
            return
        if tap in ready:
            frame = os.read(tap, 65536)
            wire.send(frame[:12] + tag + frame[12:])
        if wire.fileno() in ready:
            frame, ancillary, _, _ = wire.recvmsg(65536, socket.CMSG_SPACE(20))
            for _, _, raw in ancillary:
                status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", raw)
                if status & _VLAN_VALID and tci & 0xFFF == vlan:
                    os.write(tap, frame)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
