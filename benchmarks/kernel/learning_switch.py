"""A learning switch on os-ken, as its manual's first example has it: OpenFlow 1.3, a flow a pair.

Run by os-ken's interpreter, in an environment of its own: `python learning_switch.py`.
"""

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import ofproto_v1_3


class LearningSwitch(app_manager.OSKenApp):
    """Learns by which port each MAC address is reached, and has a flow made for each pair."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.ports = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        """Have packets that match no flow sent here whole."""
        path = event.msg.datapath
        protocol, parser = path.ofproto, path.ofproto_parser
        whole = protocol.OFPCML_NO_BUFFER
        actions = [parser.OFPActionOutput(protocol.OFPP_CONTROLLER, whole)]
        self.install(path, 0, parser.OFPMatch(), actions)

    def install(self, path, priority, match, actions):
        """Make a flow."""
        protocol, parser = path.ofproto, path.ofproto_parser
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        path.send_msg(
            parser.OFPFlowMod(datapath=path, priority=priority, match=match, instructions=[apply])
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        """Learn, make a flow if the destination is known, and let the packet out."""
        message = event.msg
        path = message.datapath
        protocol, parser = path.ofproto, path.ofproto_parser
        entry = message.match["in_port"]
        header = packet.Packet(message.data).get_protocol(ethernet.ethernet)
        table = self.ports.setdefault(path.id, {})
        table[header.src] = entry
        out = table.get(header.dst, protocol.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != protocol.OFPP_FLOOD:
            match = parser.OFPMatch(in_port=entry, eth_dst=header.dst, eth_src=header.src)
            self.install(path, 1, match, actions)
        path.send_msg(
            parser.OFPPacketOut(
                datapath=path,
                buffer_id=protocol.OFP_NO_BUFFER,
                in_port=entry,
                actions=actions,
                data=message.data,
            )
        )


if __name__ == "__main__":
    app_manager.AppManager.run_apps([__file__, "os_ken.controller.ofp_handler"])
