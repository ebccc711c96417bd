"""Tells the story from its beginning to its end; exits 0 only if every check held.

However it ends, its guard clears up (cli/demo/guard.py); 130 after Ctrl-C.
"""

import signal
import time
from types import FrameType
from typing import NoReturn

from actors.state.document import DocumentError, DocumentUnreadable
from cli.demo.commands import Commands
from cli.demo.guard import Guard
from cli.demo.machine import differences, network
from cli.demo.screen import Screen
from cli.demo.story import Story, lab_file
from cli.errors import CommandError, ExitStatus

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(words: list[str]) -> int:
    """Run the demonstration; return the exit status."""
    screen = Screen()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's is to stay ignored
            signal.signal(number, _unwind)
    began, before = time.monotonic(), network()
    status = ExitStatus.OK + 0
    guard = Guard()
    try:
        Story(lab_file(words), Commands(guard.folder), screen).tell()
    except (CommandError, DocumentError, DocumentUnreadable) as error:
        screen.check("the demonstration runs to its end", holds=False, why=str(error))
        status = error.status if isinstance(error, CommandError) else ExitStatus.USAGE
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        clean = guard.dismiss()
    changed = differences(before, network())
    screen.check("no process, namespace, interface or file of it is left", holds=clean)
    screen.check(
        "the machine's own links, routes and resolver are as before",
        holds=not changed, why="; ".join(changed),
    )  # fmt: skip
    if status > ExitStatus.CONFLICT:
        screen.say("interrupted")
        return status
    screen.verdict(time.monotonic() - began)
    return status or (ExitStatus.FAILED if screen.failures else ExitStatus.OK)


def _unwind(number: int, _frame: FrameType | None) -> NoReturn:
    """Leave by way of the guard, whatever the signal."""
    raise SystemExit(128 + number)
