"""How commands fail: one line on standard error and an exit status that scripts can tell apart."""

import enum


class ExitStatus(enum.IntEnum):
    """Exit statuses of every `ayatori` command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    """Not found, or not reachable."""
    TIMED_OUT = 4
    CONFLICT = 5


class CommandError(Exception):
    """An expected failure; its message is the one line that the user sees.

    `status` is an ExitStatus, or what shells use: 126 and 127 for a command that cannot run.
    """

    def __init__(self, message: str, status: int = ExitStatus.FAILED) -> None:
        super().__init__(message)
        self.status = status
