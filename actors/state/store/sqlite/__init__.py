"""The store in SQLite: one file (or one memory) shared by the agents and tools of a machine."""
