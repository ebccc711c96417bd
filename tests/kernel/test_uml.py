"""What is said of kernels that do not do as they should: programs that take UML's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.cpus import idle_ticks
from tests.kernel.modules import NEEDED
from tests.kernel.uml import missing, needs_shim

ROOT = Path(__file__).parents[2]
BOOT = """
import sys
from pathlib import Path
from tests.kernel import uml
machine = uml.Machine(cpu=int(sys.argv[1]), timeout=2, program=sys.argv[2], modules=Path(sys.argv[3]))
try:
    sys.exit(uml.run(machine, ["true"], {}))
except uml.BootError as error:
    sys.stderr.write(str(error))
    sys.exit(error.status)
"""


def boot(tmp_path: Path, kernel: str) -> tuple[int, str]:
    """Boot a program that is no kernel; return the status and what was said."""
    version = tmp_path / "modules" / "1.0"
    version.mkdir(parents=True)
    (version / "modules.dep").write_text("".join(f"{name}.ko:\n" for name in NEEDED))
    (version / "modules.builtin").write_text("")
    program = tmp_path / "kernel"
    program.write_text(f"#!/bin/bash\n{kernel}\n")
    program.chmod(0o755)
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", BOOT, str(cpu), str(program), str(version.parent)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


SERIAL = "for word; do case $word in ssl2=*) control=${word##*:};; esac; done; "


@pytest.mark.lab
@pytest.mark.parametrize(
    ("kernel", "status", "said"),
    [
        ("echo 'Kernel panic - not syncing: lost'; exit 1", 125, "command: Kernel panic - not"),
        ("kill -9 $$", 125, "the kernel ended before the command"),
        ("echo almost; sleep 90", 124, "the kernel did not boot in 2 s\n  console: almost"),
        (SERIAL + "echo ready >&$control; sleep 90", 124, "the command did not end in 2 s"),
        (SERIAL + "echo broken no module >&$control; sleep 90", 125, "booted kernel: no module"),
    ],
    ids=["panic", "killed", "boot hangs", "command hangs", "cannot set up"],
)
def test_kernel_that_fails_is_told_of(tmp_path: Path, kernel: str, status: int, said: str) -> None:
    found, err = boot(tmp_path, kernel)
    assert (found, said in err) == (status, True), err


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing(folder=tmp_path)[0] == "user-mode-linux"
    assert ("gcc" in missing()) is needs_shim()


def test_registers_that_need_room_are_seen(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    for flags, needed in (("fpu avx512f", False), ("fpu avx512f amx_tile amx_int8", True)):
        cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
        assert needs_shim(cpuinfo) is needed


def test_idle_ticks_of_each_cpu_are_read() -> None:
    stat = "cpu  9 9 9 9 9\ncpu0 1 2 3 40 5\ncpu11 1 2 3 41 5\nintr 5 4\n"
    assert idle_ticks(stat) == {0: 40, 11: 41}
