"""`make demo`'s program: it tells the truth, it ends well, and whatever ends it leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.state.document import parse_bytes
from cli.demo.guard import left_over
from cli.demo.picture import draw, topology
from tests.lab.runner import ROOT

PATIENCE = 30.0
Demo = subprocess.Popen[str]


@pytest.fixture
def start(untouched: None, tmp_path: Path) -> Iterator[Callable[..., Demo]]:  # noqa: ARG001
    """Give a function that starts the demonstration, whose temporary files lie in tmp_path."""
    started: list[Demo] = []

    def run(*words: str) -> Demo:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.demo", *words],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(short), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    short = Path("/tmp") / f"ay-{os.getpid()}"  # the paths of unix sockets are short
    short.mkdir(mode=0o700)
    try:
        yield run
    finally:
        for process in started:
            process.kill()
            process.communicate()
        wait_until_clear(short)
        short.rmdir()


def wait_until_clear(folder: Path) -> None:
    """Wait until no demonstration has anything in the folder: its guard may be at work."""
    deadline = time.monotonic() + PATIENCE
    while left := [path for path in folder.iterdir() if path.exists()]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


@pytest.mark.lab
def test_every_claim_holds(start: Callable[..., Demo]) -> None:
    demo = start("examples/two-hosts.yaml")
    said, _ = demo.communicate(timeout=110)
    assert demo.returncode == 0, said
    assert "✗" not in said
    assert said.count("12 of 12 pairs answer") == 2
    assert said.count("differences 0") == 2
    assert said.strip().splitlines()[-1].startswith("✓ all 13 checks held")


@pytest.mark.lab
@pytest.mark.parametrize("moment", ["$ ayatori lab up", "First pings", "$ ayatori replay"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_it_leaves_nothing(
    start: Callable[..., Demo], moment: str, number: signal.Signals
) -> None:
    demo = start("examples/two-hosts.yaml")
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith(moment):
            break
    os.killpg(demo.pid, number)
    status = demo.wait(timeout=PATIENCE)
    assert status == (130 if number == signal.SIGINT else -signal.SIGKILL)


def test_a_document_that_is_not_there_is_a_failed_check(start: Callable[..., Demo]) -> None:
    demo = start("examples/none.yaml")
    said, _ = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 2
    assert "✗ the demonstration runs to its end: " in said
    assert "Traceback" not in said


def test_a_folder_without_labs_has_no_processes(tmp_path: Path) -> None:
    assert left_over(str(tmp_path)) == ()


def test_a_topology_is_drawn_with_routers_above_and_machines_below() -> None:
    document = parse_bytes((ROOT / "examples/two-hosts.yaml").read_bytes(), "two-hosts.yaml")
    (tree,) = topology(document)
    assert draw(tree) == [
        "                 router edge",
        "          ┌───────────┴───────────┐",
        "     10.0.1.1/24             10.0.2.1/24",
        "          │                       │",
        "     bridge web               bridge db",
        "    ┌─────┴─────┐           ┌─────┴─────┐",
        "   web1        web2        db1         db2",
        "10.0.1.11   10.0.1.12   10.0.2.11   10.0.2.12",
        "  on h1       on h2       on h1       on h2",
    ]


def test_a_ring_of_devices_is_drawn_once() -> None:
    document = parse_bytes(
        b"""
ayatori: 1
bridges:
  a: {ports: {b: {peer: b/a}, c: {peer: c/a}}}
  b: {ports: {a: {}, c: {peer: c/b}}}
  c: {ports: {a: {}, b: {}}}
""",
        "ring.yaml",
    )
    drawn = "\n".join("\n".join(draw(tree)) for tree in topology(document))
    assert [drawn.count(f"bridge {name}") for name in "abc"] == [1, 1, 1]
