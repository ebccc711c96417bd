"""How long these tests wait for what must come: long, as it only counts when something is wrong."""

PATIENCE = 30.0
"""Seconds."""
