"""One suite for the soft datapath and the kernel's openvswitch: what an agent relies on.

Run as any test it drives the soft datapath, with `--kernel` the module of the running kernel (see
tests/kernel/). Where the two differ, the soft datapath is wrong.

Nothing relies on, so nothing here holds them to: the actions recirc, hash, sample, check_pkt_len,
ct, MPLS and NSH (the codec refuses them with EINVAL), priorities and marks, SET without a mask of
anything but tunnels, DF on outer headers, tunnels over IPv6, keys without Ethernet addresses,
several upcall port ids for one port, a second tag that is cut short.
"""
