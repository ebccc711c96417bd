"""DatapathLink: an agent's connection to its datapath, which may end and be made again.

Owns the channel, its readers, and the RequestBuffer that the netlink broker writes into.
"""

import os
from collections.abc import Callable

import structlog

from actors.datapath.channel import DatapathChannel
from actors.datapath.dialogue import DatapathUnavailableError
from actors.datapath.features import Features, MissingFeatureError
from actors.datapath.handshake import deletion, shake_hands
from actors.datapath.request_buffer import RequestBuffer
from actors.edge.datapath_readers import ReplyReader, UpcallReader
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.netlink import (
    CloseUpcalls,
    DatapathConnected,
    DatapathGone,
    DatapathLost,
    NetlinkSendFailed,
    OpenUpcalls,
    UpcallsOpened,
)
from actors.messages.stored import Output
from actors.values import ActorName

NETLINK_BROKER = ActorName("netlink-broker")
EPIPE, ENODEV = 32, 19

log = structlog.get_logger("datapath")


class DatapathLink:
    """See the module. `attach` the lane before `connect`."""

    def __init__(
        self,
        clock: SteadyClock,
        open_channel: Callable[[], DatapathChannel],
        fall_back: Callable[[MissingFeatureError], bool] = lambda _: False,
        *,
        upcalls_by_cpu: bool = False,
    ) -> None:
        """`fall_back` hears what the first datapath lacks, and has another one opened or not."""
        self._clock = clock
        self._upcalls_by_cpu = upcalls_by_cpu
        self._connected: DatapathConnected | None = None
        self.features: Features | None = None
        """What was agreed on with the datapath; None before there was one."""
        self.lacking: MissingFeatureError | None = None
        """Why no datapath that may be had will do."""
        self._fall_back = fall_back
        self._open_channel = open_channel
        self._channel: DatapathChannel | None = None
        self._lane: Lane | None = None
        self.requests = RequestBuffer(self._send, self._failed)
        self._upcalls: UpcallReader | None = None
        self._replies: ReplyReader | None = None
        self._gone = False
        self.overflow = 0
        self.malformed = 0
        self.upcalls_lost = 0

    def attach(self, lane: Lane) -> None:
        """Name the lane that inputs go to."""
        self._lane = lane

    def connect(self) -> None:
        """Open a channel, set a fresh datapath up, start reading.

        Raises OSError, DatapathUnavailableError; of its kind MissingFeatureError, if the datapath
        is not good enough. Call it from the process's main thread, with whose life a soft
        datapath's is tied up.
        """
        lane = self._lane
        assert lane is not None  # noqa: S101 - attach comes first
        channel = self._open_channel()
        try:
            agreement = shake_hands(channel, self._clock(), upcalls_by_cpu=self._upcalls_by_cpu)
        except MissingFeatureError as error:
            channel.release()
            if self.features is None and self._fall_back(error):
                self.connect()
                return
            self.lacking = error
            raise
        except BaseException:
            channel.release()
            raise
        self._channel = channel
        self._connected = agreement.connected
        self.features = agreement.features
        self._gone = False
        lane.submit(NETLINK_BROKER, agreement.connected)
        self._upcalls = UpcallReader(lane, self._clock, channel)
        self._replies = ReplyReader(lane, self._clock, channel)
        self._upcalls.start()
        self._replies.start()

    @property
    def alive(self) -> bool:
        """Whether both readers still read, and the datapath is there."""
        return (
            not self._gone
            and self._upcalls is not None
            and self._upcalls.alive
            and self._replies is not None
            and self._replies.alive
        )

    @property
    def failure(self) -> BaseException | None:
        """What ended a reader, if it was an error, or the datapath."""
        if self._gone:
            return DatapathUnavailableError("somebody else deleted the datapath")
        for reader in (self._upcalls, self._replies):
            if reader is not None and reader.failure is not None:
                return reader.failure
        return None

    def disconnect(self, *, tell: bool, remove: bool = False) -> None:
        """Close the channel; tell the lane that the datapath is gone if it lives on.

        With `remove` the datapath goes too, ports, flows and all; else the kernel's goes on
        forwarding by the flows that it has.
        """
        channel, self._channel = self._channel, None
        if channel is not None and remove and self._connected is not None:
            error = channel.send(deletion(self._connected))
            # A soft datapath that was told to end as well has taken all along.
            if error not in {0, EPIPE}:
                log.error("the datapath is not removed", error=os.strerror(error))
        if channel is not None:
            channel.close()
        for reader in (self._upcalls, self._replies):
            if reader is not None and not reader.stop():
                log.error("a reader does not end", reader=reader.name)
        if channel is not None:
            self.upcalls_lost += channel.upcalls_lost
            channel.release()
        if self._upcalls is not None:
            self.overflow += self._upcalls.overflow
            self.malformed += self._upcalls.malformed
        self._upcalls = self._replies = None
        if tell and self._lane is not None:
            self._lane.submit(NETLINK_BROKER, DatapathLost(self._clock()))

    def perform(self, output: Output) -> bool:
        """Do what is asked of the connection; return False if it is something else."""
        if isinstance(output, DatapathGone):
            self._gone = True
            return True
        if isinstance(output, OpenUpcalls):
            self._open_upcalls(output.link)
            return True
        if isinstance(output, CloseUpcalls):
            if self._channel is not None:
                self._channel.close_upcalls(output.pid)
            return True
        return False

    def _open_upcalls(self, link: str) -> None:
        channel, pid, errno = self._channel, 0, ENODEV
        if channel is not None:
            try:
                pid, errno = channel.open_upcalls(), 0
            except OSError as error:
                errno = error.errno or ENODEV
                log.warning("no socket for upcalls", link=link, error=str(error))
        if self._lane is not None:
            self._lane.submit(NETLINK_BROKER, UpcallsOpened(self._clock(), link, pid, errno))

    def counters(self) -> dict[str, int]:
        """Return what was dropped before the lane saw it."""
        upcalls, channel = self._upcalls, self._channel
        return {
            "upcalls_dropped": self.overflow + (upcalls.overflow if upcalls else 0),
            "upcalls_malformed": self.malformed + (upcalls.malformed if upcalls else 0),
            "upcalls_lost": self.upcalls_lost + (channel.upcalls_lost if channel else 0),
            "sends": self.requests.sends,
        }

    def _send(self, data: memoryview) -> int:
        channel = self._channel
        return EPIPE if channel is None else channel.send(data)

    def _failed(self, error: int, sequences: tuple[int, ...]) -> None:
        if self._lane is not None:
            failed = NetlinkSendFailed(self._clock(), error, sequences)
            self._lane.submit(NETLINK_BROKER, failed)
