"""State: journal and replay, stores, topology, shared tables, flow state."""
