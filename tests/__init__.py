"""Tests: they mirror actors/."""
