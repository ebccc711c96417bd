"""Holders: whether a process lives is seen where it can be seen, and not guessed where it cannot."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from actors.state.store.holder import Holder, this_process

OWN = this_process()


def test_this_process_lives() -> None:
    assert OWN.life() == "alive"
    assert this_process() == OWN


def test_process_that_ended_is_dead_before_and_after_it_is_reaped() -> None:
    program = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        born = int(stat.rpartition(")")[2].split()[19])
        holder = msgspec.structs.replace(OWN, pid=child.pid, born=born)
        assert holder.life() == "alive"
        child.kill()
        while holder.life() != "dead":
            pass
    assert holder.life() == "dead"


@pytest.mark.parametrize(
    ("change", "life"),
    [
        ({"boot": "an earlier one"}, "elsewhere"),
        ({"spaces": "pid:[1]"}, "elsewhere"),
        ({"born": OWN.born + 1}, "dead"),
        ({"pid": 2**22 + 1}, "dead"),
        ({"pid": 2**70}, "dead"),
        ({"machine": "renamed"}, "alive"),
    ],
)
def test_what_tells_one_process_from_another(change: dict[str, object], life: str) -> None:
    assert msgspec.structs.replace(OWN, **change).life() == life


def test_holder_is_told_to_people_by_process_and_machine() -> None:
    assert str(Holder("node7", "b", "s", 12, 0)) == "process 12 on node7"
