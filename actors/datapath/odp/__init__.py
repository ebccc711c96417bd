"""ODP: the Open vSwitch kernel module's generic netlink protocol, both ends of it.

Pure codecs, no socket. From the bottom: attributes; shape, key and mask (flow keys); rewrites
and actions; messages (framing) with requests, replies and upcalls. Malformed
bytes, and values that the protocol cannot express, raise OdpError and nothing else.
"""
