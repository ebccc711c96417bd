"""`python -m tests.kernel` as its users see it, natively or booted, whichever this machine does."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.lab import leftovers
from tests.scenarios.waiting import eventually

ROOT = Path(__file__).parents[2]
MARK = "AYATORI_TEST_RUNNER"

pytestmark = pytest.mark.lab


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables by which all processes of a test are known; none may be left, nor any file."""
    mark = uuid.uuid4().hex
    before = Path("/proc/self/mounts").read_text()
    yield {**os.environ, MARK: mark, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    eventually(lambda: not leftovers.with_variable(MARK, mark), "all processes have ended")
    assert list(tmp_path.iterdir()) == []
    assert Path("/proc/self/mounts").read_text() == before


def start(environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.kernel", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
    )


def run(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    with start(environment, *words) as process:
        out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def test_words_variables_output_and_status_pass_unharmed(environment: dict[str, str]) -> None:
    words = ["a'b", 'c"d $x `y` \\', "", "new\nline", "ü", "\udcff", "--", "*"]
    script = (
        "import os, sys\n"
        "sys.stdout.buffer.write(b'|'.join(map(os.fsencode, [*sys.argv[1:], os.environ['ODD']])))\n"
        "sys.stderr.write(os.getcwd())\n"
        "sys.exit(43)\n"
    )
    odd = "x'y\"z $HOME\n \\"
    inside = ["--run", "--", "python", "-c", script, *words]
    status, out, err = run({**environment, "ODD": odd}, *inside)
    assert (status, out.split("|"), err) == (43, [*words, odd], str(ROOT))


def test_command_ended_by_a_signal_and_what_it_left_running(environment: dict[str, str]) -> None:
    status, out, _ = run(environment, "--run", "--", "sh", "-c", "sleep 90 & echo hi; kill -9 $$")
    assert (status, out) == (128 + signal.SIGKILL, "hi\n")


def test_failing_test_is_shown_and_fails_the_run(environment: dict[str, str]) -> None:
    script = """
        folder=$(mktemp -d)
        printf 'def test_sum() -> None:\\n    assert 1 + 1 == 3\\n' > $folder/test_wrong.py
        python -m pytest -q $folder
        status=$?
        rm -r $folder
        exit $status
    """
    status, out, _ = run(environment, "--run", "--", "sh", "-c", script)
    assert status == 1
    assert "assert (1 + 1) == 3" in out
    assert "1 failed" in out


def test_command_that_does_not_end_is_ended(environment: dict[str, str]) -> None:
    status, _, err = run(environment, "--timeout", "3", "--run", "--", "sleep", "90")
    assert status == 124
    assert "did not end in 3 s" in err


def test_command_that_is_not_there(environment: dict[str, str]) -> None:
    status, _, err = run(environment, "--run", "--", "no-such-command")
    assert status == 127
    assert "no-such-command" in err


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda s: s.name
)
def test_nothing_is_left_behind_after(number: signal.Signals, environment: dict[str, str]) -> None:
    with start(environment, "--run", "--", "sh", "-c", "echo started; sleep 90") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        assert len(leftovers.with_variable(MARK, environment[MARK])) > 1
        process.send_signal(number)
        process.communicate(timeout=60)
    killed = number == signal.SIGKILL
    assert process.returncode == (-number if killed else 128 + number)
