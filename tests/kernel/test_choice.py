"""Which tests a run of pytest takes: those marked `kernel` are a run of their own."""

import subprocess
import sys
from pathlib import Path

from tests.kernel.families import have_openvswitch

ROOT = Path(__file__).parents[2]


def collect(*options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options, "tests/kernel/test_inside.py", "tests/kernel/test_modules.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_ordinary_run_leaves_the_kernels_tests_out_without_a_word() -> None:
    status, said = collect()
    assert status == 0
    assert "test_modules.py" in said
    assert "test_inside" not in said
    assert "deselected" not in said


def test_kernels_run_takes_them_alone_or_says_that_there_is_no_module() -> None:
    status, said = collect("--kernel")
    if have_openvswitch():
        assert (status, "test_inside.py" in said) == (0, True)
        assert "test_modules" not in said
    else:
        assert status == 4
        assert "no openvswitch module; `python -m tests.kernel` boots one" in said
