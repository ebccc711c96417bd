"""Runs the commands that a person would type, and reads what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, ValidationError, convert

from cli.errors import CommandError

_ROOT = Path(__file__).parents[2]
_PATIENCE = 120.0
"""Seconds for one command."""
_ANSWER = re.compile(r"time=([0-9.]+) ms")
_SUMMARY = re.compile(r"inputs (\d+), outputs (\d+), differences (\d+)")


class Outcome(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    complaint: str


class Trace(Struct):
    """A packet that missed all flows, as `ayatori replay --packets --json` tells it."""

    number: int
    match: str
    path: tuple[str, ...]
    verdict: str
    flow: str
    waited: bool

    def field(self, name: str) -> str:
        """Return a field of the packet, "" if it has none of that name."""
        inner = self.match.partition("),")[2] if self.tunnelled else self.match
        for part in inner.split(","):
            key, _, value = part.partition("=")
            if key == name:
                return value
        return ""

    @property
    def tunnelled(self) -> bool:
        """Whether a tunnel brought it: nothing was simulated then."""
        return self.match.startswith("tunnel(")

    @property
    def is_echo(self) -> bool:
        """Whether it is an ICMP echo request or reply."""
        return self.field("ethertype") == "0x0800" and self.field("proto") == "1"


class Commands:
    """`ayatori` commands, with the state folder that they are to use."""

    def __init__(self, folder: str) -> None:
        self._environment = {**os.environ, "AYATORI_STATE_DIR": folder}

    def run(self, *words: str) -> Outcome:
        """Run a command to its end. Raises CommandError if it takes too long."""
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, "-m", "cli.main", *words],
                cwd=_ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(f"ayatori {' '.join(words)} takes too long") from error
        return Outcome(done.returncode, done.stdout.strip(), done.stderr.strip())

    def must(self, *words: str) -> str:
        """Run a command that has to succeed; return what it prints. Raises CommandError."""
        outcome = self.run(*words)
        if outcome.status != 0:
            said = outcome.complaint or outcome.output
            raise CommandError(f"ayatori {' '.join(words)} failed: {said}")
        return outcome.output

    def ping(self, machine: str, address: str, requests: int) -> list[float]:
        """Ping from a machine; return the round trips of the answered requests in milliseconds."""
        own = [sys.executable, "-m", "cli.lab.ping", "-c", str(requests), "-i", "0.05", "-W", "10"]
        outcome = self.run("lab", "exec", machine, "--", *own, address)
        return [float(time) for time in _ANSWER.findall(outcome.output)]

    def packets(self, journal: Path) -> list[Trace]:
        """Replay a journal; return the packets that missed all flows. Raises CommandError."""
        traces = []
        for line in self.must("replay", "--packets", "--json", str(journal)).splitlines():
            told = json.loads(line)
            if "match" in told:
                try:
                    traces.append(convert(told, Trace))
                except ValidationError as error:
                    raise CommandError(
                        f"a packet of {journal} is told strangely: {error}"
                    ) from error
        return traces

    def replay(self, journal: Path) -> tuple[Outcome, bool]:
        """Replay a journal; return how it ended, and whether inputs were replayed without a difference."""
        outcome = self.run("replay", str(journal))
        found = _SUMMARY.search(outcome.output)
        same = found is not None and int(found[1]) > 0 and int(found[3]) == 0
        return outcome, outcome.status == 0 and same
