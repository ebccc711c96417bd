"""Refused: a request that the module would answer with an error number."""

import os


class Refused(Exception):  # noqa: N818 - an expected answer, not a fault of this program
    """Carries the errno of the answer, and for the log what was wrong."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({os.strerror(code)})")
        self.code = code
