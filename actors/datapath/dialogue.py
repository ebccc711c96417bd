"""Dialogue: requests to a datapath one after the other, waiting for each answer.

For the time before the netlink broker has the channel. It knows netlink's families once they are
told, and nothing of what the requests are for.
"""

import os
from typing import Final

from actors.datapath.channel import DatapathChannel
from actors.datapath.odp.errors import OdpError
from actors.datapath.odp.messages import Families
from actors.datapath.odp.replies import Reply
from actors.datapath.odp.reply_decoding import decode_replies
from actors.datapath.odp.requests import Encodable, encode_request

_MOST_REPLIES: Final = 1_000
"""Replies to somebody else's requests that are passed over while waiting for ours."""


class DatapathUnavailableError(Exception):
    """The datapath cannot be set up; the message says what it refused."""


class Dialogue:
    """See the module. Its numbers lie above those that the broker gives out."""

    def __init__(self, channel: DatapathChannel) -> None:
        self.channel = channel
        self._sequence = 0x3FFF0000
        self.families = Families(0, 0, 0, 0)

    def ask(self, body: Encodable, flags: int = 0) -> Reply:
        """Send a request and return the first reply to it. Raises DatapathUnavailableError."""
        self._sequence += 1
        message = encode_request(
            body, families=self.families, seq=self._sequence, pid=0, flags=flags
        )
        error = self.channel.send(message)
        if error:
            raise DatapathUnavailableError(f"the datapath takes no requests: {os.strerror(error)}")
        for _ in range(_MOST_REPLIES):
            datagram = self.channel.receive_reply()
            if not datagram:
                raise DatapathUnavailableError("the datapath ended")
            try:
                replies = decode_replies(datagram, self.families, self.channel.reply_pid)
            except OdpError as malformed:
                raise DatapathUnavailableError(f"the datapath answers {malformed}") from malformed
            for reply in replies:
                if reply.seq == self._sequence:
                    return reply
        raise DatapathUnavailableError("the datapath does not answer")
