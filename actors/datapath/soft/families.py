"""The generic netlink ids that this datapath gives its families: any will do, these are stable."""

from typing import Final

from actors.datapath.odp import constants as odp
from actors.datapath.odp.messages import Families

FAMILIES: Final = Families(datapath=0x20, vport=0x21, flow=0x22, packet=0x23)
FAMILY_IDS: Final = {
    odp.OVS_DATAPATH_FAMILY: (FAMILIES.datapath, odp.OVS_DATAPATH_VERSION),
    odp.OVS_VPORT_FAMILY: (FAMILIES.vport, odp.OVS_VPORT_VERSION),
    odp.OVS_FLOW_FAMILY: (FAMILIES.flow, odp.OVS_FLOW_VERSION),
    odp.OVS_PACKET_FAMILY: (FAMILIES.packet, odp.OVS_PACKET_VERSION),
}
"""Id and version by name."""

GROUP_IDS: Final = {
    odp.OVS_DATAPATH_FAMILY: 1,
    odp.OVS_VPORT_FAMILY: 2,
    odp.OVS_FLOW_FAMILY: 3,
}
"""The multicast group of a family's notifications, which is called as the family is."""

AGENT_PID: Final = 1
"""The netlink port id of the one agent that this datapath talks to."""
