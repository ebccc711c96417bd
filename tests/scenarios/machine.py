"""A lab's machine as a test sees it: real sockets of its namespace, and commands run in it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.lab.runner import LabRunner
from tests.scenarios.doorway import ANSWER, REQUEST
from tests.scenarios.waiting import PATIENCE

_DOORWAY = Path(__file__).with_name("doorway.py")


class Machine:
    """One machine (or host) of a lab. `lab_name` tells which lab, if there are several."""

    def __init__(self, lab: LabRunner, name: str) -> None:
        """Start a process in the machine that makes sockets there."""
        self.name = name
        self._lab = lab
        path = lab.state_dir / f"door-{name}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            path.chmod(0o666)  # the machine's root may be another user here
            listener.listen(1)
            listener.settimeout(PATIENCE)
            self.process = lab.spawn(name, sys.executable, str(_DOORWAY), str(path))
            self._line, _ = listener.accept()
        path.unlink()
        self._line.settimeout(PATIENCE)

    def open(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Return a new socket of this machine, with a generous timeout. Raises OSError."""
        self._line.send(REQUEST.pack(family, kind, protocol))
        data, descriptors, _, _ = socket.recv_fds(self._line, ANSWER.size, 1)
        (error,) = ANSWER.unpack(data)
        if error:
            raise OSError(error, os.strerror(error))
        made = socket.socket(fileno=descriptors[0])
        made.settimeout(PATIENCE)
        return made

    def udp(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a UDP socket."""
        return self.open(family, socket.SOCK_DGRAM)

    def tcp(self, family: int = socket.AF_INET) -> socket.socket:
        """Return a TCP socket."""
        return self.open(family, socket.SOCK_STREAM)

    def wire(self, ethertype: int = 0x0003, interface: str = "eth0") -> socket.socket:
        """Return a socket that reads and writes whole frames of `interface` (all, if left out)."""
        made = self.open(socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.bind((interface, ethertype))
        return made

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run a Python program in the machine; fail the test if it fails."""
        return self._lab.exec(self.name, sys.executable, "-c", code, check=True)

    def close(self) -> None:
        """Let the process in the machine end."""
        self._line.close()
        self.process.wait(timeout=PATIENCE)
