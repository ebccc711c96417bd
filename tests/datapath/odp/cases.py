"""Golden bytes: one table that feeds encoding, decoding, round trips and truncation.

Laid out by hand from include/uapi/linux/openvswitch.h, in the order in which Linux 6.1 writes
them, for a little-endian machine.
"""

from typing import Final

from actors.datapath.odp import constants as c
from actors.datapath.odp.actions import (
    Action,
    Output,
    PopVlan,
    PushVlan,
    SetEthernet,
    SetIpv4,
    SetIpv6,
    SetPriority,
    SetSkbMark,
    SetTcp,
    SetTunnel,
    SetUdp,
    Trunc,
    Userspace,
)
from actors.datapath.odp.messages import Families, NetlinkHeader
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    DatapathStats,
    Done,
    FamilyInfo,
    FlowInfo,
    NetlinkRefused,
    Reply,
    VportInfo,
    VportStats,
)
from actors.datapath.odp.reply_encoding import encode_ack, encode_done, encode_reply
from actors.datapath.odp.requests import (
    DeleteDatapath,
    DeleteFlow,
    DeleteVport,
    Encodable,
    ExecutePacket,
    GetDatapath,
    GetFamily,
    GetFlow,
    GetVport,
    NewDatapath,
    NewFlow,
    NewVport,
    SetFlow,
    SetVport,
)
from actors.packets.flow_key import FlowKey, TunnelKey
from actors.values import IpAddress, Mac

A_MAC, B_MAC = Mac(bytes.fromhex("020000000001")), Mac(bytes.fromhex("020000000002"))
A, B = IpAddress(bytes([10, 0, 1, 1])), IpAddress(bytes([10, 0, 2, 2]))
A6, B6 = IpAddress(b"\xfd" + bytes(14) + b"\1"), IpAddress(b"\xfd" + bytes(14) + b"\2")
FAMILIES: Final = Families(datapath=0x20, vport=0x21, flow=0x22, packet=0x23)
UFID: Final = bytes(range(16))

RECIRC_TO_PRIORITY: Final = "08001400 00000000  08001300 00000000  08000200 00000000"
IN_PORT: Final = "08000300 05000000"
METADATA: Final = (
    "08000f00 00000000"  # SKB_MARK
    "08001600 00000000  06001700 0000 0000  08001800 00000000"  # CT_STATE, CT_ZONE, CT_MARK
    "14001900 00000000000000000000000000000000"  # CT_LABELS
)
ETHERNET: Final = "10000400 020000000001 020000000002"
IPV4_UDP: Final = (
    "06000600 0800 0000"  # ETHERTYPE
    "10000700 0a000101 0a000202 11 b8 40 00"  # IPV4
    "08000a00 1f90 0035"  # UDP
)
TUNNEL: Final = (
    "3c001000"
    "0c000000 0000000000abcdef  08000100 c0a80001  08000200 c0a80002"  # ID, IPV4_SRC, IPV4_DST
    "05000400 40 000000  04000600  06000900 c000 0000  06000a00 12b5 0000"  # TTL, CSUM, TP_SRC, DST
)
PLAIN: Final = f"{RECIRC_TO_PRIORITY} {IN_PORT} {METADATA} {ETHERNET}"
TUNNEL_KEY: Final = TunnelKey(
    tun_id=0xABCDEF, src=IpAddress(bytes([192, 168, 0, 1])),
    dst=IpAddress(bytes([192, 168, 0, 2])), ttl=64, tp_src=0xC000, tp_dst=4789, checksum=True,
)  # fmt: skip


def _key(**fields: object) -> FlowKey:
    base: dict[str, object] = {
        "in_port": 5, "tunnel": None, "eth_src": A_MAC, "eth_dst": B_MAC, "ethertype": 0x0800,
    }  # fmt: skip
    return FlowKey(**(base | fields))  # type: ignore[arg-type]


_UDP: Final[dict[str, object]] = {
    "ip_src": A, "ip_dst": B, "ip_proto": 17, "ip_tos": 0xB8, "ip_ttl": 64,
    "l4_src": 8080, "l4_dst": 53,
}  # fmt: skip

KEYS: Final[dict[str, tuple[FlowKey, str]]] = {
    "udp": (_key(**_UDP), f"{PLAIN} {IPV4_UDP}"),
    "tcp": (
        _key(**(_UDP | {"ip_proto": 6, "tcp_flags": 0x012})),
        (f"{PLAIN} 06000600 08000000 10000700 0a000101 0a000202 06 b8 40 00"
        "08000900 1f90 0035  06001200 0012 0000"),
    ),
    "sctp": (
        _key(**(_UDP | {"ip_proto": 132})),
        f"{PLAIN} 06000600 08000000 10000700 0a000101 0a000202 84 b8 40 00 08001100 1f90 0035",
    ),
    "icmp": (
        _key(**(_UDP | {"ip_proto": 1, "l4_src": 8, "l4_dst": 0})),
        f"{PLAIN} 06000600 08000000 10000700 0a000101 0a000202 01 b8 40 00 06000b00 0800 0000",
    ),
    "later fragment": (
        _key(**(_UDP | {"ip_frag": 2, "l4_src": 0, "l4_dst": 0})),
        f"{PLAIN} 06000600 08000000 10000700 0a000101 0a000202 11 b8 40 02",
    ),
    "arp": (
        _key(
            ethertype=0x0806, ip_src=A, ip_dst=B, ip_proto=1, arp_sha=A_MAC, arp_tha=bytes(6)
        ),
        (f"{PLAIN} 06000600 08060000"
        "1c000d00 0a000101 0a000202 0001 020000000001 000000000000 0000"),
    ),
    "neighbour solicitation": (
        _key(
            ethertype=0x86DD, ip_src=A6, ip_dst=B6, ip_proto=58, ip_tos=0xB8, ip_ttl=255,
            ipv6_label=0x12345, l4_src=135, nd_target=B6, nd_sll=A_MAC, nd_tll=bytes(6),
        ),
        (f"{PLAIN} 06000600 86dd0000 2c000800 {A6.hex()} {B6.hex()} 00012345 3a b8 ff 00"
        f"06000c00 8700 0000  20000e00 {B6.hex()} 020000000001 000000000000"),
    ),
    "vlan": (
        _key(vlan_tci=0x7064, vlan_tpid=0x8100, **_UDP),
        f"{PLAIN} 06000600 81000000 06000500 70640000 24000100 {IPV4_UDP}",
    ),
    "two vlans": (
        _key(vlan_tci=0x1001, vlan_tpid=0x88A8, cvlan_tci=0x1002, cvlan_tpid=0x8100, **_UDP),
        (f"{PLAIN} 06000600 88a80000 06000500 10010000 38000100"
        f"06000600 81000000 06000500 10020000 24000100 {IPV4_UDP}"),
    ),
    "tunnel": (
        _key(tunnel=TUNNEL_KEY, **_UDP),
        f"{RECIRC_TO_PRIORITY} {TUNNEL} {IN_PORT} {METADATA} {ETHERNET} {IPV4_UDP}",
    ),
    "802.3": (_key(ethertype=0), PLAIN),
    "tagged 802.3": (
        _key(ethertype=0, vlan_tci=0x1001, vlan_tpid=0x8100),
        f"{PLAIN} 06000600 81000000 06000500 10010000 04000100",
    ),
    "cut off tag": (
        _key(ethertype=0x8100), f"{PLAIN} 06000600 81000000 06000500 00000000 04000100",
    ),
    "cut off inner tag": (
        _key(ethertype=0x8100, vlan_tci=0x1001, vlan_tpid=0x88A8),
        (f"{PLAIN} 06000600 88a80000 06000500 10010000 18000100"
        "06000600 81000000 06000500 00000000 04000100"),
    ),
    "lldp": (_key(ethertype=0x88CC), f"{PLAIN} 06000600 88cc0000"),
}  # fmt: skip

UDP_KEY: Final = bytes.fromhex(KEYS["udp"][1])

ACTIONS: Final[dict[str, tuple[tuple[Action, ...], str]]] = {
    "nothing": ((), ""),
    "outputs": ((Output(1), Output(0xFFFF)), "08000100 01000000 08000100 ffff0000"),
    "userspace": (
        (Userspace(0x1234, b"cook\1"),),
        "18000200 08000100 34120000 09000200 636f6f6b01 000000",
    ),
    "userspace without data": ((Userspace(7),), "0c000200 08000100 07000000"),
    "vlan": ((PopVlan(), PushVlan(0x8100, 0x1064)), "04000500 08000400 8100 1064"),
    "tunnel": (
        (SetTunnel(TUNNEL_KEY), Output(2)), f"40000300 {TUNNEL} 08000100 02000000",
    ),
    "tunnel with all fields": (
        (SetTunnel(TunnelKey(1, A6, B6, tos=4, ttl=255, dont_fragment=True)),),
        (f"50000300 4c001000 0c000000 0000000000000001 14000c00 {A6.hex()} 14000d00 {B6.hex()}"
        "05000300 04000000 05000400 ff000000 04000500"),
    ),
    "ethernet": (
        (SetEthernet(src=A_MAC, dst=B_MAC),),
        "20000b00 1c000400 020000000001 020000000002 ffffffffffff ffffffffffff",
    ),
    "ethernet destination": (
        (SetEthernet(dst=B_MAC),),
        "20000b00 1c000400 000000000000 020000000002 000000000000 ffffffffffff",
    ),
    "ttl": (
        (SetIpv4(ttl=63),),
        "20000b00 1c000700 00000000 00000000 00003f00 00000000 00000000 0000ff00",
    ),
    "ipv4": (
        (SetIpv4(src=A, dst=bytes([0, 0, 2, 2]), dst_mask=b"\0\0\xff\xff", tos=4, tos_mask=0xFC),),
        "20000b00 1c000700 0a000101 00000202 00040000 ffffffff 0000ffff 00fc0000",
    ),
    "ipv6": (
        (SetIpv6(dst=B6, label=5, ttl=9),),
        "58000b00 54000800" + bytes(16).hex() + B6.hex() + "00000005 00000900"
        + bytes(16).hex() + "ff" * 16 + "000fffff 0000ff00",
    ),
    "ports": (
        (SetTcp(src=80), SetUdp(dst=53)),
        "10000b00 0c000900 0050 0000 ffff 0000  10000b00 0c000a00 0000 0035 0000 ffff",
    ),
    "metadata": (
        (SetPriority(3), SetSkbMark(4)),
        "10000b00 0c000200 03000000 ffffffff 10000b00 0c000f00 04000000 ffffffff",
    ),
    "cut": ((Trunc(100), Output(1)), "08000d00 64000000 08000100 01000000"),
}  # fmt: skip

OUTPUT: Final = bytes.fromhex("08000100 01000000")
EMPTY_MASK: Final = bytes.fromhex("08000300 ffffffff")

# Sequence number 7 and port id 9 throughout; flags are given besides NLM_F_REQUEST.
REQUESTS: Final[dict[str, tuple[Encodable, int, str]]] = {
    "get family": (
        GetFamily("ovs_flow"), 0,
        "24000000 1000 0100 07000000 09000000 03 02 0000 0d000200 6f76735f666c6f7700 000000",
    ),
    "new datapath": (
        NewDatapath("ayatori", 9, 2), 4,
        ("34000000 2000 0500 07000000 09000000 01 02 0000 00000000"
        "0c000100 617961746f726900  08000200 09000000  08000500 02000000"),
    ),
    "get datapath": (
        GetDatapath(0, "ayatori"), 0,
        "24000000 2000 0100 07000000 09000000 03 02 0000 00000000 0c000100 617961746f726900",
    ),
    "dump datapaths": (
        GetDatapath(), 0x300, "18000000 2000 0103 07000000 09000000 03 02 0000 00000000",
    ),
    "delete datapath": (
        DeleteDatapath(3), 4, "18000000 2000 0500 07000000 09000000 02 02 0000 03000000",
    ),
    "new vport": (
        NewVport(3, c.OVS_VPORT_TYPE_VXLAN, "vx0", (9, 10), 12, 4789), 8,
        ("48000000 2100 0900 07000000 09000000 01 01 0000 03000000"
        "08000100 0c000000  08000200 04000000  08000300 76783000  0c000500 09000000 0a000000"
        "0c000400 06000100 b512 0000"),
    ),
    "new vport without a number": (
        NewVport(3, c.OVS_VPORT_TYPE_NETDEV, "tap"), 0,
        ("30000000 2100 0100 07000000 09000000 01 01 0000 03000000"
        "08000200 01000000  08000300 74617000  08000500 00000000"),
    ),
    "get vport": (
        GetVport(3, 12), 0,
        "20000000 2100 0100 07000000 09000000 03 01 0000 03000000 08000100 0c000000",
    ),
    "set vport": (
        SetVport(3, 12, upcall_pids=(9,)), 0,
        ("28000000 2100 0100 07000000 09000000 04 01 0000 03000000"
        "08000100 0c000000 08000500 09000000"),
    ),
    "delete vport": (
        DeleteVport(3, name="tap"), 0,
        "20000000 2100 0100 07000000 09000000 02 01 0000 03000000 08000300 74617000",
    ),
    "new flow": (
        NewFlow(3, UDP_KEY, OUTPUT, EMPTY_MASK, UFID), 0x400,
        ("cc000000 2200 0104 07000000 09000000 01 01 0000 03000000"
        f"14000900 {UFID.hex()} 88000100 {UDP_KEY.hex()} 0c000700 {EMPTY_MASK.hex()}"
        f"0c000200 {OUTPUT.hex()}"),
    ),
    "new flow that drops": (
        NewFlow(3, EMPTY_MASK, b""), 0x400,
        ("28000000 2200 0104 07000000 09000000 01 01 0000 03000000"
        f"0c000100 {EMPTY_MASK.hex()} 04000200"),
    ),
    "set flow": (
        SetFlow(3, ufid=UFID, actions=OUTPUT, clear=True), 0,
        ("3c000000 2200 0100 07000000 09000000 04 01 0000 03000000"
        f"14000900 {UFID.hex()} 0c000200 {OUTPUT.hex()} 04000600"),
    ),
    "get flow": (
        GetFlow(3, raw_key=EMPTY_MASK), 0,
        ("24000000 2200 0100 07000000 09000000 03 01 0000 03000000"
        f"0c000100 {EMPTY_MASK.hex()}"),
    ),
    "delete flow": (
        DeleteFlow(3, UFID, ufid_flags=7), 8,
        ("34000000 2200 0900 07000000 09000000 02 01 0000 03000000"
        f"14000900 {UFID.hex()} 08000a00 07000000"),
    ),
    "new flow, to probe": (
        NewFlow(3, EMPTY_MASK, b"", probe=True), 0x400,
        ("2c000000 2200 0104 07000000 09000000 01 01 0000 03000000"
        f"0c000100 {EMPTY_MASK.hex()} 04000200 04000800"),
    ),
    "get flow, to probe": (
        GetFlow(3, UFID, ufid_flags=7, probe=True), 0,
        ("38000000 2200 0100 07000000 09000000 03 01 0000 03000000"
        f"14000900 {UFID.hex()} 08000a00 07000000 04000800"),
    ),
    "flush flows": (
        DeleteFlow(3), 0, "18000000 2200 0100 07000000 09000000 02 01 0000 03000000",
    ),
    "execute": (
        ExecutePacket(3, UDP_KEY, OUTPUT, bytes(range(15))), 0,
        ("c0000000 2300 0100 07000000 09000000 03 01 0000 03000000"
        f"88000200 {UDP_KEY.hex()} 0c000300 {OUTPUT.hex()} 13000100 {bytes(range(15)).hex()} 00"),
    ),
}  # fmt: skip

HEADER: Final = NetlinkHeader(48, 0x22, 5, 7, 9, 1)
_STATS: Final = "".join(number.to_bytes(8, "little").hex() for number in range(1, 9))

# As encoded for port id 9.
REPLIES: Final[dict[str, tuple[Reply, bytes, str]]] = {
    "family": (
        (family := FamilyInfo(7, 0x22, "ovs_flow", 1, (("ovs_flow", 6),))),
        encode_reply(family, families=FAMILIES, pid=9),
        ("54000000 1000 0000 07000000 09000000 01 02 0000"
        "0d000200 6f76735f666c6f7700 000000 06000100 2200 0000 08000300 01000000"
        "20000700 1c000100 08000200 06000000 0d000100 6f76735f666c6f7700 000000"),
    ),
    "datapath": (
        (datapath := DatapathInfo(7, 3, 3, "ayatori", DatapathStats(1, 2, 3, 4), 2)),
        encode_reply(datapath, families=FAMILIES, pid=9),
        ("50000000 2000 0000 07000000 09000000 03 02 0000 03000000"
        f"0c000100 617961746f726900 24000300 {_STATS[:64]} 08000500 02000000"),
    ),
    "vport": (
        (
            vport := VportInfo(
                7, 1, 3, 12, c.OVS_VPORT_TYPE_VXLAN, "vx0", (9,),
                VportStats(1, 2, 3, 4, 5, 6, 7, 8), 4789, 40,
            )
        ),
        encode_reply(vport, families=FAMILIES, pid=9),
        ("90000000 2100 0000 07000000 09000000 01 01 0000 03000000"
        "08000100 0c000000 08000200 04000000 08000300 76783000 08000800 28000000"
        f"44000600 {_STATS} 08000500 09000000 0c000400 06000100 b512 0000"),
    ),
    "echo of a deleted flow": (
        (echo := FlowInfo(7, 2, 3, UFID, None, None, None, 1, 2, 3, 0x12)),
        encode_reply(echo, families=FAMILIES, pid=9),
        ("54000000 2200 0000 07000000 09000000 02 01 0000 03000000"
        f"14000900 {UFID.hex()} 0c000500 0300000000000000"
        "14000300 01000000000000000200000000000000 05000400 12000000"),
    ),
    "dumped flow": (
        (dumped := FlowInfo(7, 1, 3, None, UDP_KEY, EMPTY_MASK, OUTPUT)),
        encode_reply(dumped, families=FAMILIES, pid=9, multi=True),
        ("b8000000 2200 0200 07000000 09000000 01 01 0000 03000000"
        f"88000100 {UDP_KEY.hex()} 0c000700 {EMPTY_MASK.hex()} 0c000200 {OUTPUT.hex()}"),
    ),
    "refusal": (
        NetlinkRefused(7, 17),
        encode_ack(HEADER, HEADER.pid, 17),
        "24000000 0200 0001 07000000 09000000 efffffff 30000000 2200 0500 07000000 09000000",
    ),
    "acknowledgement": (
        Acknowledged(7),
        encode_ack(HEADER, HEADER.pid),
        "24000000 0200 0001 07000000 09000000 00000000 30000000 2200 0500 07000000 09000000",
    ),
    "end of a dump": (
        Done(7), encode_done(7, 9), "14000000 0300 0200 07000000 09000000 00000000",
    ),
}  # fmt: skip

MISS: Final = bytes.fromhex(
    "bc000000 2300 0000 00000000 00000000 01 01 0000 03000000"
    f"88000200 {UDP_KEY.hex()} 0c000b00 8877665544332211 10000100 000102030405060708090a0b"
)
ACTION: Final = bytes.fromhex(
    "c8000000 2300 0000 00000000 00000000 02 01 0000 03000000"
    f"88000200 {UDP_KEY.hex()} 08000400 63616665 0c000b00 0000000000000000"
    "11000100 000102030405060708090a0b0c 000000"
)
