"""The topology store: its interface, and the backends behind it."""
