"""The datapath: upcalls, flow controller, netlink broker, ODP codec, soft datapath."""
