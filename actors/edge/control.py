"""ControlServer: the agent's unix socket, by which `ayatori flows` and its like ask.

A request is one line of JSON, `{"ask": "flows"}`, `{"fault": ACTOR, "times": N}`, or about packets
to follow: `{"trace": {"match": …, "limit": N, "seconds": N}}`, `{"stop_trace": N}` (0: all) and
`{"traces_after": N}` (records). The answer is one line of JSON. Readable by the agent's user only.
"""

import itertools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from actors.edge.service import Service
from actors.edge.steady_clock import SteadyClock
from actors.lane import Lane
from actors.messages.operator import FaultInjected, OperatorAnswered, OperatorAsked
from actors.messages.stored import Input, Output
from actors.messages.traces import TraceAsked, TraceMatch, TracesAsked, TraceStopAsked
from actors.tracing.matching import complaint
from actors.values import SECOND, ActorName

OPERATOR = ActorName("operator")
TRACE_BOOK = ActorName("trace-book")
ANSWER_TIMEOUT = 10.0
"""Seconds that a request may take."""
MOST_REQUEST_BYTES = 4096
_CREDENTIALS = struct.Struct("3i")


_Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class TraceStart(msgspec.Struct, forbid_unknown_fields=True):
    """Which packets are to be followed, how many, and for how long."""

    match: TraceMatch
    limit: _Number
    seconds: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What may be asked."""

    ask: Literal["flows", "tables", "devices", "stats", "status"] | None = None
    fault: str | None = None
    times: int = 1
    trace: TraceStart | None = None
    stop_trace: _Number | None = None
    traces_after: _Number | None = None


class ControlTakenError(Exception):
    """Another agent answers at the control socket."""


class NoPlaceForControlError(Exception):
    """The folder of the control socket is not there and cannot be made."""


def check_control(path: Path) -> None:
    """Make the folder of `path`, and look whether an agent answers there already.

    Raises ControlTakenError if so, NoPlaceForControlError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoPlaceForControlError(
            f"no place for the control socket {path}: {error.strerror}"
        ) from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, suppress(OSError):
        client.settimeout(ANSWER_TIMEOUT)
        client.connect(str(path))
        peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        raise ControlTakenError(
            f"{path} is the control socket of process {_CREDENTIALS.unpack(peer)[0]}, an agent that"
            " runs: give this one files of its own, or stop that one"
        )


class _Waiting:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.body = b""


class ControlServer(Service):
    """See the module. `status` adds what the supervisor knows."""

    name = "control"

    def __init__(
        self,
        lane: Lane,
        clock: SteadyClock,
        path: Path,
        status: Callable[[], dict[str, object]],
    ) -> None:
        super().__init__()
        self._lane = lane
        self._clock = clock
        self._path = path
        self._status = status
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    def perform(self, output: Output) -> bool:
        """Take the answer to a request; return False if the output is none."""
        if not isinstance(output, OperatorAnswered):
            return False
        waiting = self._waiting.pop(output.request, None)
        if waiting is not None:
            waiting.body = output.body
            waiting.done.set()
        return True

    def run(self) -> None:
        """Serve until stopped, one request at a time."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
            server.bind(str(self._path))
            self._path.chmod(0o600)
            server.listen(16)
            server.settimeout(0.2)
            try:
                while not self.stopping.is_set():
                    try:
                        client, _ = server.accept()
                    except TimeoutError:
                        continue
                    with client:
                        self._serve(client)
            finally:
                self._path.unlink(missing_ok=True)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(2.0)
        try:
            line = b""
            while b"\n" not in line and len(line) < MOST_REQUEST_BYTES:
                part = client.recv(MOST_REQUEST_BYTES)
                if not part:
                    break
                line += part
            answer = self._answer(line)
            client.settimeout(ANSWER_TIMEOUT)
            client.sendall(answer + b"\n")
        except OSError:
            return  # The asker went away; nobody is left to be told.

    def _answer(self, line: bytes) -> bytes:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            return msgspec.json.encode({"error": str(error)})
        if request.fault is not None:
            if not 0 < request.times <= 1000:
                return msgspec.json.encode({"error": "times is from 1 to 1000"})
            actor = ActorName(request.fault)
            if self._lane.actor(actor) is None:
                return msgspec.json.encode({"error": f"there is no actor {actor}"})
            self._lane.submit(OPERATOR, FaultInjected(self._clock(), actor, request.times))
            return b"{}"
        if request.ask == "status":
            return msgspec.json.encode(self._status())
        if request.ask is None:
            return self._answer_of_traces(request)
        number, ask = next(self._numbers), request.ask
        answer = self._submit(OPERATOR, number, OperatorAsked(self._clock(), number, ask))
        if ask == "stats" and not answer.startswith(b'{"error"'):
            whole = msgspec.json.decode(answer)
            whole["agent"] = self._status()
            return msgspec.json.encode(whole)
        return answer

    def _answer_of_traces(self, request: Request) -> bytes:
        at, number = self._clock(), next(self._numbers)
        asked: Input
        if request.trace is not None:
            wanted = request.trace
            duration = wanted.seconds * SECOND
            wrong = complaint(wanted.match, wanted.limit, duration)
            if wrong is not None:  # before the journal, which does not take numbers of any size
                return msgspec.json.encode({"error": wrong})
            asked = TraceAsked(at, number, wanted.match, wanted.limit, duration)
        elif request.stop_trace is not None:
            asked = TraceStopAsked(at, number, request.stop_trace)
        elif request.traces_after is not None:
            asked = TracesAsked(at, number, request.traces_after)
        else:
            return msgspec.json.encode({"error": "ask for something"})
        return self._submit(TRACE_BOOK, number, asked)

    def _submit(self, actor: ActorName, number: int, asked: Input) -> bytes:
        """Give a request to the lane and wait for its answer."""
        waiting = self._waiting[number] = _Waiting()
        self._lane.submit(actor, asked)
        if not waiting.done.wait(ANSWER_TIMEOUT):
            self._waiting.pop(number, None)
            return msgspec.json.encode({"error": "the lane does not answer"})
        return waiting.body
