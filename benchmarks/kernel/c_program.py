"""CProgram: peer.c, compiled into a folder of its own and run once for each measurement."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from benchmarks.kernel.outcome import Outcome

SOURCE = Path(__file__).with_name("peer.c")
_TIMEOUT = 120.0


class NoCompilerError(Exception):
    """There is no C compiler."""


class CProgram:
    """See the module. `told` is what every run is told, by name."""

    def __init__(self) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise NoCompilerError("no cc: scripts/provide-bench-tools installs one")
        self.told: dict[str, str | int] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="ayatori-bench-"))
        self._program = self._folder / "peer"
        command = [compiler, "-O2", "-pthread", "-o", str(self._program), str(SOURCE)]
        try:
            subprocess.run(command, check=True)  # noqa: S603 - our own source
        except BaseException:
            self.close()
            raise

    def run(self, operation: str, **more: str | int) -> Outcome:
        """Run an operation. Raises subprocess.CalledProcessError if C could not do it."""
        return msgspec.json.decode(self._call(operation, more), type=Outcome)

    def written(self, operation: str, **more: str | int) -> bytes:
        """Return the bytes that an operation would send."""
        return self._call(operation, {**more, "show": 1})

    def _call(self, operation: str, more: dict[str, str | int]) -> bytes:
        words = [f"{name}={value}" for name, value in {**self.told, **more}.items()]
        done = subprocess.run(  # noqa: S603 - our own program
            [str(self._program), operation, *words],
            check=True,
            stdout=subprocess.PIPE,
            timeout=_TIMEOUT,
        )
        return done.stdout

    def close(self) -> None:
        """Remove the program."""
        shutil.rmtree(self._folder)
