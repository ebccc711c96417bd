"""How long flows live: hard expiries only, by kind, the shortest-lived with the lowest number.

A flow takes the lowest of what the branches of its simulation asked for. LIFE_NONE means that
the packet is let go but no flow may be made of it, as a device consumed (a copy of) it.
"""

from typing import Final

from actors.messages.flows import FlowKind
from actors.values import SECOND

LIFE_NONE: Final = 0
LIFE_ERROR: Final = 1
LIFE_STATEFUL: Final = 2
LIFE_PLAIN: Final = 3
LIFE_TUNNEL: Final = 4

LIFETIMES: Final = (0, 5 * SECOND, 30 * SECOND, 60 * SECOND, 300 * SECOND)
"""Nanoseconds, by LIFE_* constant."""

KIND_NAMES: Final[tuple[FlowKind | None, ...]] = (None, "error", "stateful", "plain", "tunnel")
