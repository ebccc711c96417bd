"""Boots Debian's user-mode-linux with the host's files, runs one command in it and returns its status.

The kernel and all that it starts live in an enclosure, its files on the enclosure's tmpfs. The
host's files are its root, read-only. The command's output comes over serial lines that are pipes
to us, as do the console's messages, of which the last are shown where something went wrong.
"""

import os
import resource
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from tests.kernel import enclosure, modules, task

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
SHIM: Final = Path(__file__).with_name("wide_xstate.c")
_HEADER: Final = Path("/usr/include/elf.h")
BOOT_SECONDS: Final = 60.0
"""From start until the modules are in; two seconds are usual, a busy machine needs more."""
TAIL_LINES: Final = 15
_LINE_MOST: Final = 4096
_NOISE: Final = "epollctl add err"
"""What UML says of each /dev/null that it is given."""
_HIDEABLE: Final = ("/mnt", "/media", "/srv", "/opt", "/run", "/usr/games")
"""Folders that Linuxes have; one that this run needs nothing of gives its place to our tmpfs."""


class BootError(Exception):
    """The command did not run to its end. `status` is ours to exit with; the text says why."""

    def __init__(self, text: str, status: int = 125) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How to boot. `timeout` is in seconds, for boot and command; `memory` as UML takes it."""

    cpu: int
    timeout: float
    memory: str = "1G"
    show_console: bool = False
    program: str = PROGRAM
    modules: Path = MODULES


def missing(program: str = PROGRAM, folder: Path = MODULES) -> list[str]:
    """Return the Debian packages that are needed here and not installed."""
    packages = [] if shutil.which(program) and folder.is_dir() else ["user-mode-linux"]
    if needs_shim():
        packages += [] if shutil.which("cc") else ["gcc"]
        packages += [] if _HEADER.exists() else ["libc6-dev"]
    return packages


def needs_shim(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether this CPU's register state is larger than UML has room for: wide_xstate.c."""
    return "amx_tile" in cpuinfo.read_text().split()


def run(machine: Machine, words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Return the command's exit status; raise BootError or modules.ModulesError.

    To be called once in a process: it moves the process into namespaces.
    """
    if packages := missing(machine.program, machine.modules):
        names = " ".join(packages)
        raise BootError(
            f"this kernel has no openvswitch, and to boot one that has needs {names}"
            f" (as root: apt-get install {names})"
        )
    inserted = [str(path) for path in modules.load_order(modules.find_folder(machine.modules))]
    needed = [ROOT, Path.cwd(), Path(sys.prefix), Path(sys.base_prefix)]
    place = _hideable(needed)
    try:
        enclosure.enter()
        enclosure.mount("tmpfs", place, "mode=0700")
    except OSError as error:
        raise BootError(f"{error} (needs root, or user namespaces)") from error
    task.Task(
        words=list(words),
        environment=dict(environment),
        folder=str(Path.cwd()),
        modules=inserted,
        files=resource.getrlimit(resource.RLIMIT_NOFILE),
        hide_tmp=not any(path.is_relative_to("/tmp") for path in needed),
    ).write(place / "task")
    init = place / "init"
    init.write_text(
        f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} &&"
        f" exec {shlex.quote(sys.executable)} -m tests.kernel.inside {place}/task\n"
    )
    init.chmod(0o700)
    host = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    host["TMPDIR"] = str(place)
    if needs_shim():
        host["LD_PRELOAD"] = str(_compile(place))
    return _boot(machine, place, host)


def _hideable(needed: Iterable[Path]) -> Path:
    used = [path.resolve() for path in needed] + list(needed)
    for name in _HIDEABLE:
        place = Path(name)
        if place.is_dir() and not any(path.is_relative_to(place) for path in used):
            return place
    raise BootError(f"each of {', '.join(_HIDEABLE)} is missing or in use")


def _compile(place: Path) -> Path:
    shim = place / "wide_xstate.so"
    command = ["cc", "-O2", "-fPIC", "-shared", "-o", str(shim), str(SHIM)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise BootError(f"cc could not compile {SHIM.name}: {done.stderr.strip()}")
    return shim


@dataclass
class _Streams:
    """Where the kernel's four streams go to, and what they have told so far."""

    show_console: bool
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    panic: str = ""
    said: list[str] = field(default_factory=list)
    _rest: dict[str, bytes] = field(default_factory=dict)

    def take(self, name: str, data: bytes) -> None:
        if name in {"stdout", "stderr"}:
            _pass_on(sys.stdout.buffer if name == "stdout" else sys.stderr.buffer, data)
            return
        if name == "console" and self.show_console:
            _pass_on(sys.stderr.buffer, data)
        *lines, rest = (self._rest.get(name, b"") + data).split(b"\n")
        self._rest[name] = rest[-_LINE_MOST:]
        for line in lines:
            text = line.decode(errors="replace").strip()
            if name == "control":
                self.said.append(text)
            elif text and not text.startswith(_NOISE):
                self.tail.append(text)
                if not self.panic and "panic" in text.lower():
                    self.panic = f": {text}"


def _boot(machine: Machine, place: Path, environment: Mapping[str, str]) -> int:
    pipes = {name: os.pipe() for name in ("console", "stdout", "stderr", "control")}
    ends = {name: end for name, (_, end) in pipes.items()}
    lines = [
        f"ssl{number}=null,fd:{ends[name]}"
        for number, name in enumerate(("stdout", "stderr", "control"))
    ]
    words = [
        machine.program, "rootfstype=hostfs", "rootflags=/", "ro", f"mem={machine.memory}", "umid=kernel",
        f"uml_dir={place}", f"init={place}/init", "con=null", f"con0=null,fd:{ends['console']}",
        "ssl=null", *lines,
    ]  # fmt: skip
    command = enclosure.Command(
        words=words,
        environment=environment,
        cpu=machine.cpu,
        own_session=True,
        descriptors=list(ends.values()),
        console=ends["console"],
    )
    first = enclosure.start(command)
    try:
        for end in ends.values():
            os.close(end)
        streams = _Streams(machine.show_console)
        with selectors.DefaultSelector() as selector:
            for name, (source, _) in pipes.items():
                os.set_blocking(source, False)
                selector.register(source, selectors.EVENT_READ, name)
            return _follow(selector, streams, machine.timeout)
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)


def _follow(selector: selectors.BaseSelector, streams: _Streams, timeout: float) -> int:
    """Pass output on until the command's status is known; return it, or raise BootError."""
    started = time.monotonic()
    while selector.get_map():
        booted = task.READY in streams.said
        limit = timeout if booted else min(BOOT_SECONDS, timeout)
        left = started + limit - time.monotonic()
        if left <= 0:
            what = "the command did not end" if booted else "the kernel did not boot"
            raise BootError(_with_tail(f"{what} in {limit:g} s", streams.tail), 124)
        _drain(selector, streams, left)
        for text in streams.said:
            word, _, rest = text.partition(" ")
            if word == task.STATUS:
                _drain(selector, streams, 0)
                return int(rest)
            if word == task.BROKEN:
                raise BootError(_with_tail(f"inside the booted kernel: {rest}", streams.tail))
    why = f"the kernel ended before the command{streams.panic}"
    raise BootError(_with_tail(why, streams.tail))


def _drain(selector: selectors.BaseSelector, streams: _Streams, seconds: float) -> None:
    """Wait for output at most `seconds`, take all that is there."""
    events = selector.select(seconds)
    while events:
        for key, _ in events:
            data = os.read(key.fd, 65536)
            if data:
                streams.take(key.data, data)
            else:
                selector.unregister(key.fd)
                os.close(key.fd)
        events = selector.select(0) if selector.get_map() else []


def _pass_on(stream: BinaryIO, data: bytes) -> None:
    stream.write(data)
    stream.flush()


def _with_tail(text: str, tail: Iterable[str]) -> str:
    return "\n".join([text, *(f"  console: {line}" for line in tail)])
