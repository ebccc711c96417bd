"""The ports of the soft datapath: each owns one device or socket, and its counters."""
