"""Runs the real `ayatori lab` commands for tests, in a state folder of their own.

Scenario tests use it through the `lab` fixture of tests/lab/conftest.py, which tears everything
down and then checks that the machine is as it was.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cli
from cli.lab import leftovers

ROOT = Path(cli.__file__).parents[1]
COMMAND_SECONDS = 200
"""After which a command hangs; the longest, the replay of a journal, takes some ten."""


class LabRunner:
    """One lab of a test. `ayatori` is the command line that runs `ayatori`."""

    def __init__(self, ayatori: Sequence[str] = (sys.executable, "-m", "cli.main")) -> None:
        # Not below tmp_path: the paths of unix sockets are short.
        self.state_dir = Path(tempfile.mkdtemp(prefix="ay-"))
        self.environment = {**os.environ, "AYATORI_STATE_DIR": str(self.state_dir)}
        self.datapath = "soft"
        """What labs run on, unless `up` is told otherwise."""
        self._ayatori = tuple(ayatori)
        self._spawned: list[subprocess.Popen[str]] = []

    def run(
        self, *arguments: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any `ayatori` command; with `check`, fail the test if it fails."""
        done = subprocess.run(
            [*self._ayatori, *arguments],
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if check:
            said = f"{done.stdout}{done.stderr}{self.agent_logs()}"
            assert done.returncode == 0, f"ayatori {' '.join(arguments)}: {said}"
        return done

    def document(self, text: str) -> Path:
        """Write a topology document and return its path."""
        path = self.state_dir / "topology.yaml"
        path.write_text(text)
        return path

    def up(self, text: str, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Bring the lab up, or change it."""
        told = ("--datapath", self.datapath, *options)
        return self.run("lab", "up", *told, str(self.document(text)), check=check)

    def exec(
        self, machine: str, *command: str, check: bool = False, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a machine or host, to its end."""
        return self.run("lab", "exec", machine, "--", *command, check=check, stdin=stdin)

    def spawn(self, machine: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in a machine; it ends with the test if not before."""
        process = subprocess.Popen(
            [*self._ayatori, "lab", "exec", machine, "--", *command],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._spawned.append(process)
        return process

    def status(self) -> dict[str, Any]:
        """Return `lab status --json`."""
        found: dict[str, Any] = json.loads(self.run("lab", "status", "--json").stdout)
        return found

    def agent_pid(self, host: str) -> int | None:
        """Return the pid of a host's agent, None while it is between two lives."""
        pid: int | None = self.status()["hosts"][host]["pid"]
        return pid

    def journal(self, host: str) -> Path:
        """Return the folder of a host's journal. It goes away with the lab."""
        return Path(self.status()["hosts"][host]["journal"])

    def agent_logs(self) -> str:
        """Return the ends of all agents' logs, for a failing test's message."""
        parts = []
        for log in sorted(self.state_dir.glob("labs/*/hosts/*/agent.log")):
            tail = log.read_text(errors="replace").splitlines()[-15:]
            parts.append("\n".join(["", f"{log}:", *tail]))
        return "".join(parts)

    def down(self) -> None:
        """End the lab."""
        self.run("lab", "down")

    def close(self) -> None:
        """End everything, and fail the test if anything of the lab is left."""
        try:
            names = [folder.name for folder in self.state_dir.glob("labs/*") if folder.is_dir()]
            for name in names:
                self.run("lab", "down", "--name", name)
            for process in self._spawned:
                process.kill()
                process.communicate()
            left = leftovers.with_variable("AYATORI_STATE_DIR", str(self.state_dir))
            assert not left, f"left behind: {[_command_line(pid) for pid in left]}"
        finally:
            shutil.rmtree(self.state_dir)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return f"process {pid}"
