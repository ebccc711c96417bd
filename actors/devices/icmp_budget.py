"""IcmpBudget: how many ICMP errors a router may send (RFC 1812 4.3.2.8). Pure: time is given."""

from msgspec import Struct

from actors.values import SECOND, Nanoseconds

REFILL = SECOND // 100
"""One more error each 10 ms."""


class IcmpBudget(Struct):
    """A token bucket."""

    tokens: int
    filled_at: Nanoseconds = Nanoseconds(0)

    def take(self, at: Nanoseconds, most: int) -> bool:
        """Take a token at time `at`, if there is one; the bucket holds `most`."""
        fresh = (at - self.filled_at) // REFILL
        if fresh > 0:
            self.tokens = min(most, self.tokens + fresh)
            self.filled_at = at
        if self.tokens <= 0:
            return False
        self.tokens -= 1
        return True
