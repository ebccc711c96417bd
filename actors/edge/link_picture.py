"""LinkPicture: the interfaces as the kernel last told of them, against what the lane was told. Pure.

Changes gather here until `take` makes one input of them: what came and went in between, or ended
as it had begun, is not told.
"""

from actors.messages.topology import Link, LinksChanged
from actors.values import Nanoseconds


class LinkPicture:
    """See the module. Interfaces are known by index: names move between them."""

    def __init__(self) -> None:
        self._now: dict[int, Link] = {}
        self._told: dict[int, Link] | None = None
        """None: nothing was told yet, not even that there is none."""
        self._touched: set[int] = set()

    def appeared(self, link: Link) -> None:
        """Take in that an interface is there, or is so now."""
        self._now[link.index] = link
        self._touched.add(link.index)

    def vanished(self, index: int) -> None:
        """Take in that an interface is gone."""
        self._now.pop(index, None)
        self._touched.add(index)

    def replace(self, links: dict[int, Link]) -> None:
        """Take in what a dump says: these interfaces are there and no others."""
        self._touched.update(self._now, links)
        self._now = dict(links)

    def take(self, at: Nanoseconds) -> LinksChanged | None:
        """Return what the lane has to be told, None if it knows; the first time all there is."""
        touched, self._touched = sorted(self._touched), set()
        told = self._told
        if told is None:
            self._told = dict(self._now)
            links = tuple(self._now[index] for index in sorted(self._now))
            return LinksChanged(at, links, whole=True)
        changed, removed = [], []
        for index in touched:
            link = self._now.get(index)
            if link == told.get(index):
                continue
            if link is None:
                removed.append(index)
                del told[index]
            else:
                changed.append(link)
                told[index] = link
        if not changed and not removed:
            return None
        return LinksChanged(at, tuple(changed), tuple(removed))
