"""Entry point of the soft datapath's process: `python -m actors.datapath.soft`."""

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys

from actors.datapath.soft.program import Program

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run on inherited sockets; 0 when the agent's end closes or at SIGTERM."""
    parser = argparse.ArgumentParser(prog="actors.datapath.soft")
    parser.add_argument("--requests-fd", type=int, required=True)
    parser.add_argument("--upcalls-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, help="pid to die with")
    options = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s soft datapath: %(message)s"
    )
    if options.parent is not None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != options.parent:
            return 0  # it died before the line above
    requests = socket.socket(fileno=options.requests_fd)
    upcalls = socket.socket(fileno=options.upcalls_fd)
    with requests, upcalls:
        Program(requests, upcalls).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
