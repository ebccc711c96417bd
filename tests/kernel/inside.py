"""The first process of the booted kernel: sets it up, runs a command, tells the host how it ended.

It mounts what a Linux has, inserts the modules, brings up `lo`, passes the command's output to the
host's serial lines as it comes, then its exit status, kills what is left and powers off.
Run by the booted kernel only: `python -m tests.kernel.inside TASK`.
"""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import tty
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.kernel import enclosure, task

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_FINIT_MODULE: Final = 313
"""The system call's number on x86-64, Debian's one architecture of UML; libc has no name for it."""
_POWER_OFF: Final = 0x4321FEDC
_TEMPORARY: Final = Path("/run/tmp")
_WRITABLE: Final = {
    "TMPDIR": str(_TEMPORARY),
    "HYPOTHESIS_STORAGE_DIRECTORY": str(_TEMPORARY / "hypothesis"),
}
"""Where to write what would else go to the checkout, which is read-only here."""


def main() -> None:
    """Run the task, tell the host how it ended, and power off whatever happens."""
    control = _line(task.CONTROL)
    try:
        try:
            status = _run(task.read(Path(sys.argv[1])), control)
            _tell(control, f"{task.STATUS} {status}")
        except (OSError, ValueError) as error:
            _tell(control, f"{task.BROKEN} {error}".replace("\n", " "))
    finally:
        _LIBC.reboot(_POWER_OFF)


def _run(wanted: task.Task, control: int) -> int:
    _mount(hide_tmp=wanted.hide_tmp)
    for module in wanted.modules:
        _insert(module)
    enclosure.raise_loopback()
    socket.sethostname("kernel")
    resource.setrlimit(resource.RLIMIT_NOFILE, wanted.files)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lines = [_line(task.STDOUT), _line(task.STDERR)]
    pipes = [os.pipe(), os.pipe()]
    pumps = [
        threading.Thread(target=_pump, args=(pipe[0], line), daemon=True)
        for pipe, line in zip(pipes, lines, strict=True)
    ]
    for pump in pumps:
        pump.start()
    _tell(control, task.READY)
    status = _command(wanted, pipes[0][1], pipes[1][1])
    for _, end in pipes:
        os.close(end)
    for pump in pumps:
        pump.join()
    for line in lines:
        termios.tcdrain(line)
    return status


def _command(wanted: task.Task, out: int, err: int) -> int:
    """Return the command's status, when it and all that it left running have ended."""
    try:
        process = subprocess.Popen(
            wanted.words,
            cwd=wanted.folder,
            env={**wanted.environment, **_WRITABLE},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    except OSError as error:
        os.write(err, f"tests.kernel: {wanted.words[0]}: {error.strerror}\n".encode())
        return 127
    while True:  # orphans come to the first process, too
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            break
    with suppress(ProcessLookupError):  # nothing was left
        os.kill(-1, signal.SIGKILL)
    return enclosure.exit_status(status)


def _pump(source: int, line: int) -> None:
    """Copy until no process holds the pipe's other end."""
    while data := os.read(source, 65536):
        while data:
            data = data[os.write(line, data) :]


def _mount(*, hide_tmp: bool) -> None:
    enclosure.mount("proc", Path("/proc"))
    enclosure.mount("sysfs", Path("/sys"))
    enclosure.mount("cgroup2", Path("/sys/fs/cgroup"))
    for folder, options in (("pts", "ptmxmode=0666,mode=0620,gid=5"), ("shm", "mode=1777")):
        Path("/dev", folder).mkdir(exist_ok=True)
        enclosure.mount("devpts" if folder == "pts" else "tmpfs", Path("/dev", folder), options)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        link = Path("/dev", name)
        if not link.is_symlink():
            link.symlink_to(f"/proc/self/fd{target}")
    if hide_tmp:
        enclosure.mount("tmpfs", Path("/tmp"), "mode=1777")
    # Last: what we were started from may lie there.
    enclosure.mount("tmpfs", Path("/run"), "mode=0755")
    _TEMPORARY.mkdir()
    _TEMPORARY.chmod(0o1777)


def _insert(module: str) -> None:
    with Path(module).open("rb") as file:
        if _LIBC.syscall(_FINIT_MODULE, file.fileno(), b"", 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inserting {module}: {os.strerror(number)}")


def _line(path: str) -> int:
    """Open a serial line that passes bytes as they are."""
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line)
    return line


def _tell(control: int, text: str) -> None:
    os.write(control, f"{text}\n".encode(errors="replace"))
    termios.tcdrain(control)


if __name__ == "__main__":
    main()
