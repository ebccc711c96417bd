"""TokenBucket: how many events a second may pass, with a burst. Time is given by the caller."""


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` a second; begins full."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated: float | None = None

    def available(self, now: float) -> bool:
        """Tell whether a token is there at `now` (seconds of a steady clock)."""
        if self._updated is None or now > self._updated:
            if self._updated is not None:
                gained = (now - self._updated) * self._rate
                self._tokens = min(self._burst, self._tokens + gained)
            self._updated = now
        return self._tokens >= 1

    def take(self) -> None:
        """Take the token that `available` found."""
        self._tokens -= 1
