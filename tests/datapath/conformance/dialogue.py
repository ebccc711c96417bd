"""Dialogue: requests to a datapath over any channel, their replies, notifications and upcalls."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp import constants as odp
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import (
    Acknowledged,
    DatapathInfo,
    Described,
    Done,
    FamilyInfo,
    NetlinkRefused,
    Notification,
    Reply,
    VportInfo,
)
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import Encodable, GetFamily, encode_request
from actors.datapath.odp.upcalls import Upcall, decode_upcall
from tests.datapath.conformance.waiting import PATIENCE


class RefusedError(Exception):
    """The datapath answered with an errno."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Dialogue:
    """One channel; requests of ours are answered one after the other.

    Made in the thread that lives in the datapath's namespace.
    """

    def __init__(self, channel: DatapathChannel) -> None:
        self.channel = channel
        self.upcall_pid = channel.upcall_pid or channel.open_upcalls()
        self._reading = threading.Lock()
        self._seq = 0
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._notifications: queue.SimpleQueue[Described] = queue.SimpleQueue()
        self._upcalls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.families = Families()
        self._readers = [
            threading.Thread(target=self._read_replies, daemon=True),
            threading.Thread(target=self._read_upcalls, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        names = (
            odp.OVS_DATAPATH_FAMILY, odp.OVS_VPORT_FAMILY, odp.OVS_FLOW_FAMILY,
            odp.OVS_PACKET_FAMILY,
        )  # fmt: skip
        self.family = {name: self._family(name) for name in names}
        self.families = Families(*(self.family[name].id for name in names))

    def close(self) -> None:
        """End it; the datapath of a kernel stays."""
        self.channel.close()
        for reader in self._readers:
            reader.join(PATIENCE)
        self.channel.release()

    def _read_replies(self) -> None:
        while datagram := self.channel.receive_reply():
            for reply in decode_replies(datagram, self.families, self.channel.reply_pid):
                if isinstance(reply, Notification):
                    self._notifications.put(reply.of)
                else:
                    self._replies.put(reply)

    def _read_upcalls(self) -> None:
        while datagrams := self.channel.receive_upcalls():
            for datagram in datagrams:
                self._upcalls.put(datagram)
            with self._reading:
                pass

    def _family(self, name: str) -> FamilyInfo:
        (info,) = self.ask(GetFamily(name))
        assert isinstance(info, FamilyInfo)
        return info

    def encode(self, body: Encodable, flags: int = 0) -> tuple[int, bytes]:
        """A request and its sequence number."""
        self._seq += 1
        message = encode_request(
            body, families=self.families, seq=self._seq, pid=self.channel.reply_pid, flags=flags
        )
        return self._seq, message

    def send(self, *messages: bytes) -> None:
        """Send messages in one datagram."""
        assert self.channel.send(b"".join(messages)) == 0

    def next_reply(self) -> Reply:
        """The next reply."""
        return self._replies.get(timeout=PATIENCE)

    def ask(self, body: Encodable, flags: int = 0) -> list[Described]:
        """Send a request with ACK (or a dump) and return what came before its end."""
        dump = flags & odp.NLM_F_DUMP == odp.NLM_F_DUMP
        seq, message = self.encode(body, flags if dump else flags | odp.NLM_F_ACK)
        self.send(message)
        return self.answers(seq)

    def answers(self, seq: int) -> list[Described]:
        """What comes under this number until its end; RefusedError for an error."""
        replies: list[Described] = []
        while True:
            reply = self.next_reply()
            assert reply.seq == seq, (reply, seq)
            if isinstance(reply, NetlinkRefused):
                raise RefusedError(reply.errno)
            if isinstance(reply, Acknowledged | Done):
                return replies
            assert not isinstance(reply, Notification)
            replies.append(reply)

    def refusal(self, body: Encodable, flags: int = 0) -> int:
        """The errno that a request is answered with; 0 if it is granted."""
        try:
            self.ask(body, flags)
        except RefusedError as refused:
            return refused.code
        return 0

    def datapath(self, body: Encodable, flags: int = odp.NLM_F_ECHO) -> DatapathInfo:
        """Ask for one datapath's description."""
        (info,) = self.ask(body, flags)
        assert isinstance(info, DatapathInfo)
        return info

    def vport(self, body: Encodable, flags: int = odp.NLM_F_ECHO) -> VportInfo:
        """Ask for one port's description."""
        (info,) = self.ask(body, flags)
        assert isinstance(info, VportInfo)
        return info

    def notified(self, wanted: Callable[[Described], bool]) -> Described:
        """Wait for a notification that is `wanted`, pass over others."""
        while True:
            notification = self._notifications.get(timeout=PATIENCE)
            if wanted(notification):
                return notification

    @contextmanager
    def unread_upcalls(self) -> Iterator[None]:
        """Let upcalls wait in the channel meanwhile, but for those that are being read."""
        with self._reading:
            yield

    def upcalls_so_far(self) -> list[Upcall]:
        """The upcalls that have come and were not asked for yet."""
        found = []
        while not self._upcalls.empty():
            found.append(decode_upcall(self._upcalls.get()))
        return found

    def next_upcall(self) -> Upcall:
        """The next upcall."""
        return decode_upcall(self.next_raw_upcall())

    def next_raw_upcall(self) -> bytes:
        """The next upcall's datagram."""
        return self._upcalls.get(timeout=PATIENCE)

    def drain(self) -> None:
        """Forget upcalls and notifications that have arrived."""
        for some in (self._upcalls, self._notifications):
            while not some.empty():
                some.get()
