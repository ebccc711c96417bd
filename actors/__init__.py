"""Ayatori's actors: how a packet finds its way, and what the network knows.

To read the code, follow a packet: `messages/packet_in.py`, `packet_workflow.py`,
`messages/simulation.py`, `devices/bridge.py` with `devices/bridge_forwarding.py`,
`datapath/flow_controller.py`, `datapath/netlink_broker.py`. What carries them all is `lane.py`;
`composition.py` says which actor stands behind which name.
"""
