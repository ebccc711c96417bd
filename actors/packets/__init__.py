"""Packets: pure parsers and builders of what a virtual network's devices read and write.

Bytes in, values out; no I/O. Malformed bytes raise PacketError and nothing else.
"""
