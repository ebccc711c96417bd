"""Runs inside a lab's machine and hands out sockets of its namespace: `python doorway.py PATH`.

So a test holds real sockets of many machines in one process. It ends when the test does.
"""

import socket
import struct
import sys

REQUEST = struct.Struct("!iii")
"""Family, type and protocol of the socket that is wanted."""
ANSWER = struct.Struct("!i")
"""The errno of a socket that could not be made, or 0 beside the socket."""


def serve(path: str) -> None:
    """Connect to the test's socket at `path` and make sockets until the test closes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(path)
        while request := line.recv(REQUEST.size):
            try:
                made = socket.socket(*REQUEST.unpack(request))
            except OSError as error:
                line.send(ANSWER.pack(error.errno))
                continue
            with made:
                socket.send_fds(line, [ANSWER.pack(0)], [made.fileno()])


if __name__ == "__main__":
    serve(sys.argv[1])
