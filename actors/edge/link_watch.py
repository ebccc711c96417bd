"""LinkWatch: tells the lane of the host's network interfaces, all at first, then what changed.

The kernel's notifications are heard from before the first dump on, so nothing is missed and a
change costs no dump. When some were lost (ENOBUFS) a new dump tells what they would have.
"""

from actors.edge.link_picture import LinkPicture
from actors.edge.link_socket import RECEIVE_BUFFER, LinkGone, LinkSocket
from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.topology import Link
from actors.values import ActorName

DATAPATH_PORTS = ActorName("datapath-ports")
SETTLE = 0.01
"""Seconds to wait for more notifications: a new veth pair sends half a dozen."""
PATIENCE = 0.2
"""Seconds until `stop` is noticed, and between dumps as long as none is sound."""


class LinkWatch(Service):
    """See the module. Works in the network namespace of the process."""

    name = "link-watch"

    def __init__(
        self, lane: Lane, clock: SteadyClock, receive_buffer: int = RECEIVE_BUFFER
    ) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._receive_buffer = receive_buffer
        self.dumps = 0
        """How many there were: one, and one for each time that notifications were lost."""

    def run(self) -> None:
        """Watch until stopped. Raises OSError."""
        picture = LinkPicture()
        with LinkSocket(self._receive_buffer) as links:
            begun = sound = self._resynchronise(links, picture)
            while not self.stopping.is_set():
                begun = begun or sound
                if begun:
                    self._tell(picture)
                if not links.wait(PATIENCE) and sound:
                    continue
                self.stopping.wait(SETTLE)
                said, lost = links.read()
                _take_in(picture, said)
                if lost or not sound:
                    sound = self._resynchronise(links, picture)

    def _resynchronise(self, links: LinkSocket, picture: LinkPicture) -> bool:
        """Start from a dump again; return False if it has to be repeated."""
        self.dumps += 1
        dump = links.dump()
        if dump.sound:
            picture.replace(dump.links)
        else:  # what is not in it may be there nevertheless
            _take_in(picture, tuple(dump.links.values()))
        _take_in(picture, dump.since)
        return dump.sound

    def _tell(self, picture: LinkPicture) -> None:
        changed = picture.take(self._clock())
        if changed is not None:
            self._lane.submit(DATAPATH_PORTS, changed)


def _take_in(picture: LinkPicture, said: tuple[Link | LinkGone, ...]) -> None:
    for each in said:
        if isinstance(each, LinkGone):
            picture.vanished(each.index)
        else:
            picture.appeared(each)
