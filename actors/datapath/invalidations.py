"""RecentInvalidations: the revision guard. Which tags were invalidated, and when in the lane's order.

A packet that waited may have read what has changed since; its flow must not be installed. Pure.
"""

from msgspec import Struct, field

from actors.values import Tag

MOST_KEPT = 20_000
"""Tags remembered; packets older than what was forgotten are taken to be stale."""


class RecentInvalidations(Struct):
    """Tag -> number of the input that last invalidated it, the latest last."""

    tags: dict[Tag, int] = field(default_factory=dict)
    forgotten_up_to: int = 0

    def add(self, number: int, tags: tuple[Tag, ...]) -> None:
        """Note that input `number` invalidated `tags`."""
        kept = self.tags
        for tag in tags:
            kept.pop(tag, None)
            kept[tag] = number
        while len(kept) > MOST_KEPT:
            oldest = next(iter(kept))
            self.forgotten_up_to = kept.pop(oldest)

    def since(self, number: int, tags: tuple[Tag, ...]) -> bool:
        """Tell whether one of `tags` was, or may have been, invalidated after input `number`."""
        if number < self.forgotten_up_to:
            return True
        kept = self.tags
        if not kept:
            return False
        for tag in tags:
            at = kept.get(tag)
            if at is not None and at > number:
                return True
        return False
