"""One host's agent process: started in the host's namespace, kept running, stopped.

Does for an agent what systemd does in production (Type=notify, Restart=always): waits for
READY=1, restarts it with a growing pause when it ends, kills what it left in its process
group. Reads no clock: the keeper's loop says what time it is.
"""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from cli.lab import leftovers, namespaces
from cli.lab.notify import NotifySocket
from cli.lab.state_folder import HostFiles

_FIRST_PAUSE = 0.3
_LONGEST_PAUSE = 5.0
"""Seconds before a restart: the first one's, doubled with each up to the longest."""
_PATIENCE = 5.0
"""Seconds that an agent has to stop after SIGTERM."""
_LARGEST_LOG = 16 << 20
_KEPT_LOG = 1 << 20
"""A log that passes the first number of bytes is cut to its last bytes, the second number."""


class AgentState(NamedTuple):
    """How an agent is, for `lab up` and `lab status`."""

    pid: int | None
    ready: bool
    ends: int
    """How often it has ended since it was last ready, or the lab changed."""
    last_end: str
    """How it ended last, empty if it has not."""


class Agent:
    """The agent of one host. `command` is its argument vector."""

    def __init__(
        self,
        host: str,
        network: int,
        command: tuple[str, ...],
        files: HostFiles,
        environment: dict[str, str],
    ) -> None:
        """Prepare; `network` is a descriptor of the host's namespace. Raises OSError."""
        self.host = host
        self.network = network
        self.notify = NotifySocket(files.notify)
        self.start_at: float | None = None
        """When it is to be started again, in the loop's seconds; None while it runs."""
        self._command = command
        self._files = files
        self._environment = {**environment, "NOTIFY_SOCKET": str(files.notify)}
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._ends = 0
        self._pause = _FIRST_PAUSE
        self._last_end = ""

    @property
    def state(self) -> AgentState:
        """How the agent is."""
        pid = self._process.pid if self._process else None
        return AgentState(pid, self._ready, self._ends, self._last_end)

    def start_anew(self, now: float) -> None:
        """Start the process at once if it waits for that: what made it end may be mended now."""
        self._ends = 0
        self._pause = _FIRST_PAUSE
        if self.start_at is not None:
            self.start(now)

    def start(self, now: float) -> None:
        """Start the process; if even that fails, plan the next try. `now` is in the loop's seconds."""
        self.start_at = None
        self._ready = False
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            with os.fdopen(os.open(self._files.log, flags, 0o600), "ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 - the keeper's own command
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment,
                    start_new_session=True,
                    preexec_fn=self._before_exec(os.getpid()),  # noqa: PLW1509 - no threads here
                )
        except (OSError, subprocess.SubprocessError) as error:
            self._plan_restart(f"it cannot be started: {error}", now)

    def _before_exec(self, keeper: int) -> Callable[[], None]:
        def settle() -> None:
            namespaces.die_with_parent(keeper)
            namespaces.enter_network(self.network)

        return settle

    def hear(self) -> None:
        """Read what the agent notified."""
        for notice in self.notify.read():
            if notice.ready and self._process is not None:
                self._ready = True
                self._ends = 0
                self._pause = _FIRST_PAUSE

    def reap(self, now: float) -> str | None:
        """If the process has ended, plan its restart and return how it ended."""
        if self._process is None:
            return None
        # Peek before reaping: while its number is taken, the process group is surely its own.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self._kill_group()
        status = self._process.wait()
        self._process = None
        self._plan_restart(_how(status), now)
        return self._last_end

    def _plan_restart(self, why: str, now: float) -> None:
        self._last_end = why
        self._ready = False
        self._ends += 1
        self.start_at = now + self._pause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)

    def _kill_group(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def trim_log(self) -> None:
        """Keep the log bounded; the agent appends, so it goes on behind what is kept."""
        with suppress(FileNotFoundError), self._files.log.open("r+b") as log:
            if log.seek(0, os.SEEK_END) > _LARGEST_LOG:
                log.seek(-_KEPT_LOG, os.SEEK_END)
                kept = log.read(_KEPT_LOG)
                log.seek(0)
                log.write(kept[kept.find(b"\n") + 1 :])
                log.truncate()

    def ask_to_stop(self) -> int | None:
        """Send SIGTERM and return a pidfd to wait on; None if the agent does not run."""
        self.start_at = None
        if self._process is None:
            return None
        handle = os.pidfd_open(self._process.pid)
        self._process.terminate()
        return handle

    def finish(self) -> None:
        """Kill what still runs of it, and let its socket go. It cannot be started again."""
        if self._process is not None:
            self._kill_group()
            self._process.wait()
            self._process = None
        self.notify.close()


def _how(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def stop(agents: list[Agent]) -> None:
    """Stop agents for good, all at once: SIGTERM, then SIGKILL to what is left of them."""
    handles = [handle for agent in agents if (handle := agent.ask_to_stop()) is not None]
    leftovers.wait_for_end(handles, _PATIENCE)
    for handle in handles:
        os.close(handle)
    for agent in agents:
        agent.finish()
