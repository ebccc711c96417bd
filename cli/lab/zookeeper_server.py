"""ZookeeperServer: one process of Debian's ZooKeeper, alone or as a member of an ensemble.

Owns its folder (configuration, data, log) and its process, which ends with the thread that started
it (PR_SET_PDEATHSIG). Never waits without a bound, and never touches a server of the system's.
"""

import ctypes
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)

_JARS: Final = Path("/usr/share/java")
_CLASS: Final = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_START_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.02
_STOP_SECONDS: Final = 5.0


class ZookeeperFailed(Exception):  # noqa: N818 - it says what happened
    """The server is not installed, or did not start. The message says which."""


class Member(Struct, frozen=True):
    """One server, the members of an ensemble on one machine: its id and its three ports."""

    id: int
    client: int
    peer: int
    election: int


class ServerOptions(Struct, frozen=True):
    """Where a server listens, and how it keeps time and its data."""

    listen: str = "127.0.0.1"
    """The address for clients; a lab's hosts, in namespaces of their own, reach no loopback."""
    tick: int = 500
    """Milliseconds. Sessions time out after 2 to 20 of them, whatever their owners ask for."""
    durable: bool = True
    """Write to the disk before answering. Tests need no power cut survived."""
    heap: int = 128
    """MiB."""
    largest_request: int = 64 * 1024 * 1024
    """Bytes (`jute.maxbuffer`): a topology of tens of thousands of ports is one request."""


def installed() -> str | None:
    """Return what is missing to start a server, None if nothing is."""
    for file, package in (
        (Path("/usr/bin/java"), "default-jre-headless"),
        (_JARS / "zookeeper.jar", "zookeeper"),
    ):
        if not file.exists():
            return package
    return None


def free_ports(count: int) -> tuple[int, ...]:
    """Return so many TCP ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return tuple(int(found.getsockname()[1]) for found in sockets)
    finally:
        for found in sockets:
            found.close()


def ensemble_members(count: int) -> tuple[Member, ...]:
    """Return the members of an ensemble on free ports."""
    ports = free_ports(3 * count)
    return tuple(Member(n + 1, *ports[3 * n : 3 * n + 3]) for n in range(count))


class ZookeeperServer:
    """One server. `folder` keeps what it stores from one start to the next."""

    def __init__(
        self,
        folder: Path,
        member: Member,
        members: tuple[Member, ...] = (),
        options: ServerOptions | None = None,
    ) -> None:
        """Prepare a server; `members` are those of its ensemble, itself among them, if any."""
        self.folder = folder
        self.member = member
        self._members = members
        self._options = options or ServerOptions()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where clients connect, as `host:port`."""
        return f"{self._options.listen}:{self.member.client}"

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """The process, None if it is not running."""
        return None if self._process is None else self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process is not running, by whatever cause."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the process; `wait_ready` says when it serves. Raises ZookeeperFailed."""
        missing = installed()
        if missing is not None:
            raise ZookeeperFailed(
                f"no ZooKeeper server on this machine (apt-get install {missing})"
            )
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{self.member.id}\n")
        configuration = self.folder / "zoo.cfg"
        configuration.write_text(self._configuration(data))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - Debian's java, our own arguments
                [*self._java(), _CLASS, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, before exec
            )

    def wait_ready(self) -> None:
        """Return when it serves clients. Raises ZookeeperFailed with the end of its log."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.mode():
            if self._process is None or self._process.poll() is not None:
                raise ZookeeperFailed(f"the ZooKeeper server did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise ZookeeperFailed(
                    f"no service from ZooKeeper at {self.address}"
                    f" within {_START_SECONDS:.0f} s: {self.last_words()}"
                )
            time.sleep(_LOOK_SECONDS)

    def mode(self) -> str:
        """Return `standalone`, `leader` or `follower`; nothing while it does not serve."""
        answer = four_letters(self._options.listen, self.member.client, b"srvr")
        for line in answer.splitlines():
            name, _, value = line.partition(": ")
            if name == "Mode":
                return value
        return ""

    def stop(self) -> None:
        """Ask it to end, and see to it. May be called again."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would. May be called again."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop its process without ending it: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)

    def _configuration(self, data: Path) -> str:
        lines = [
            f"tickTime={self._options.tick}",
            f"dataDir={data}",
            f"clientPort={self.member.client}",
            f"clientPortAddress={self._options.listen}",
            "maxClientCnxns=0",
            "admin.enableServer=false",
            "4lw.commands.whitelist=srvr,ruok",
            "initLimit=20",
            "syncLimit=6",
            "autopurge.snapRetainCount=3",
            "autopurge.purgeInterval=1",
        ]
        if not self._options.durable:
            lines.append("forceSync=no")
        lines += [f"server.{m.id}=127.0.0.1:{m.peer}:{m.election}" for m in self._members]
        return "\n".join((*lines, ""))

    def _java(self) -> tuple[str, ...]:
        jars = (_JARS / "zookeeper.jar", _JARS / "slf4j-simple.jar")
        return (
            "/usr/bin/java",
            f"-Xmx{self._options.heap}m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            f"-Djute.maxbuffer={self._options.largest_request}",
            "-cp",
            ":".join(map(str, jars)),
        )

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line]
        return lines[-1] if lines else f"see {self.log}"


def four_letters(address: str, port: int, word: bytes) -> str:
    """Return the answer to one of the server's four-letter words; nothing if there is none."""
    received = b""
    with suppress(OSError), socket.create_connection((address, port), 1.0) as connection:
        connection.sendall(word)
        while piece := connection.recv(4096):
            received += piece
    return received.decode(errors="replace")


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
