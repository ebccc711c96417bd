"""`python -m cli.demo FILE`: see cli/demo/tell.py."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is to be cleared up yet

from cli.demo.tell import main  # noqa: E402 - after the line above

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
