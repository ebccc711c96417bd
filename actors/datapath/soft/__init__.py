"""The soft datapath: a user-space program that behaves as the Linux openvswitch module does.

It takes the module's own generic-netlink messages over two socket pairs (see
`actors/datapath/soft_channel.py`) and forwards frames between veth ends, TAP devices and
tunnels (VXLAN, Geneve, GRE) in one thread. It knows nothing of virtual devices: flows, actions and upcalls only.
"""
