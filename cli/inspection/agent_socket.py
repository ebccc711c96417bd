"""Asking an agent over its unix socket: one line of JSON there, one line back."""

import socket
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from actors.messages.traces import TraceMatch
from cli.errors import CommandError, ExitStatus

Subject = Literal["flows", "tables", "devices", "stats", "status"]
Shape = TypeVar("Shape")

_PATIENCE = 15.0
"""Seconds: the agent itself gives its lane ten."""
_MOST_BYTES = 256 << 20
"""Of an answer; a full flow table takes some tens of megabytes."""


class Parts(msgspec.Struct, frozen=True):
    """An answer as the agent's actors gave it."""

    parts: dict[str, msgspec.Raw]
    """By actor, such as `flow-controller` or `bridge/<id>`."""
    missing: tuple[str, ...] = ()
    """Actors that did not answer in time."""
    agent: msgspec.Raw = msgspec.Raw(b"{}")
    """What the supervisor knows, in answers to `stats`."""


class _Refusal(msgspec.Struct):
    error: str | None = None


class AgentSocket:
    """One agent's socket, at a path. Every method raises CommandError.

    NOT_FOUND: nobody answers there. TIMED_OUT: the agent is too slow. FAILED: it refuses, or
    talks another language.
    """

    def __init__(self, host: str, path: Path) -> None:
        self.host = host
        self.path = path

    def ask(self, subject: Subject) -> Parts:
        """Return what the agent's actors say about something."""
        return self.decode(self._exchange({"ask": subject}), Parts)

    def status(self) -> dict[str, object]:
        """Return what the supervisor knows, without a question to the actors."""
        return self.decode(self._exchange({"ask": "status"}), dict[str, object])

    def fault(self, actor: str, times: int) -> None:
        """Make the next `times` messages to an actor crash it."""
        self._exchange({"fault": actor, "times": times})

    def start_trace(self, match: TraceMatch, limit: int, seconds: int) -> bytes:
        """Follow packets; return the answer."""
        wanted = {"match": match, "limit": limit, "seconds": seconds}
        return self._exchange({"trace": wanted})

    def stop_trace(self, trace: int) -> bytes:
        """Follow no more packets for a request, or for any if 0; return the answer."""
        return self._exchange({"stop_trace": trace})

    def traces(self, after: int) -> bytes:
        """Return the requests, and the records with numbers above `after`."""
        return self._exchange({"traces_after": after})

    def decode(self, body: bytes | msgspec.Raw, shape: type[Shape]) -> Shape:
        """Read a part of an answer."""
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.DecodeError as error:
            raise CommandError(f"the agent of {self.host} answers strangely: {error}") from error

    def _exchange(self, request: dict[str, object]) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as agent:
                agent.settimeout(_PATIENCE)
                agent.connect(str(self.path))
                agent.sendall(msgspec.json.encode(request) + b"\n")
                answer = self._line(agent)
        except TimeoutError as error:
            raise CommandError(
                f"the agent of {self.host} does not answer in {_PATIENCE:g} s", ExitStatus.TIMED_OUT
            ) from error
        except OSError as error:
            raise CommandError(
                f"the agent of {self.host} cannot be reached ({self.path}: {error.strerror or error})",
                ExitStatus.NOT_FOUND,
            ) from error
        refusal = self.decode(answer, _Refusal).error
        if refusal is not None:
            slow = "does not answer" in refusal
            raise CommandError(
                f"the agent of {self.host}: {refusal}",
                ExitStatus.TIMED_OUT if slow else ExitStatus.FAILED,
            )
        return answer

    def _line(self, agent: socket.socket) -> bytes:
        answer = bytearray()
        while not answer.endswith(b"\n"):
            chunk = agent.recv(1 << 16)
            if not chunk:
                raise CommandError(
                    f"the agent of {self.host} ended before it had answered", ExitStatus.NOT_FOUND
                )
            answer += chunk
            if len(answer) > _MOST_BYTES:
                raise CommandError(f"the agent of {self.host} answers without an end")
        return bytes(answer)


def agent_socket(host: str, lab: str | None, path: Path | None) -> AgentSocket:
    """Find the agent of a host: at `path`, or in the running lab. Raises CommandError NOT_FOUND."""
    from cli.lab.registry import find_lab  # noqa: PLC0415 - not needed with a path

    if path is not None:
        agent = AgentSocket(host, path)
        found = agent.status().get("host")
        if found != host:
            raise CommandError(
                f"{path} is the socket of {found}'s agent, not of {host}'s", ExitStatus.NOT_FOUND
            )
        return agent
    running = find_lab(lab)
    if running is None:
        which = "no lab" if lab is None else f"no lab {lab!r}"
        raise CommandError(
            f"{which} is running: --socket PATH names the control socket of an agent",
            ExitStatus.NOT_FOUND,
        )
    entry = running.hosts.get(host)
    if entry is None:
        known = ", ".join(running.hosts) or "none"
        raise CommandError(
            f"lab {running.name} has no host {host!r} (hosts: {known})", ExitStatus.NOT_FOUND
        )
    return AgentSocket(host, entry.control)
