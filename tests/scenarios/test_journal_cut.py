"""A journal that was cut at any byte still replays, up to its last whole record."""

import json
import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.lab.runner import ROOT
from tests.scenarios.echo import reaches
from tests.scenarios.network import Network
from tests.scenarios.traffic import udp_echoes
from tests.scenarios.waiting import eventually

pytestmark = pytest.mark.lab

TWO_HOSTS = (ROOT / "examples" / "two-hosts.yaml").read_text()
ONE_HOST = (ROOT / "examples" / "one-host.yaml").read_text()
CUTS = 12


def test_a_journal_that_was_cut_replays_up_to_its_last_whole_record(
    network: Network, tmp_path: Path
) -> None:
    network.up(TWO_HOSTS)
    web1 = network.machine("web1")
    assert reaches(web1, "10.0.2.12")
    udp_echoes(web1, network.machine("db2"), "10.0.2.12", (10, 1000, 4000))
    journal = network.journal("h1")
    network.stop_agents()
    segment = min(journal.glob("*.journal"))
    written = segment.read_bytes()
    whole = replayed(network, segment)
    assert whole["inputs"] > 20
    last = -1
    draw = random.Random(20)
    for size in sorted(draw.randrange(64, len(written)) for _ in range(CUTS)):
        cut = tmp_path / segment.name
        cut.write_bytes(written[:size])
        found = replayed(network, cut)
        assert last <= found["inputs"] <= whole["inputs"]
        last = found["inputs"]
    assert replayed(network, segment) == whole


def test_a_journal_with_a_damaged_byte_replays_up_to_the_damage(
    network: Network, tmp_path: Path
) -> None:
    network.up(TWO_HOSTS)
    assert reaches(network.machine("web1"), "10.0.2.12")
    journal = network.journal("h1")
    network.stop_agents()
    folder = tmp_path / "journal"
    shutil.copytree(journal, folder)
    segment = min(folder.glob("*.journal"))
    data = bytearray(segment.read_bytes())
    data[len(data) * 3 // 4] ^= 0x40
    segment.write_bytes(data)
    for other in sorted(folder.glob("*.journal"))[1:]:
        other.unlink()
    found = replayed(network, folder)
    assert found["inputs"] > 0
    assert found["unclosed"]


@pytest.mark.parametrize("rest", [b"", b"AYA", bytes(1 << 20)], ids=["empty", "cut", "reserved"])
def test_a_journal_whose_last_segment_was_hardly_begun_replays_and_goes_on(
    network: Network, rest: bytes
) -> None:
    network.up(ONE_HOST)
    assert reaches(network.machine("vm1"), "10.0.0.2")
    before = network.agent_pid("h1")
    assert before is not None
    journal = network.journal("h1")
    (journal / "00000005.journal").write_bytes(rest)  # before there is another agent to look
    os.kill(before, signal.SIGKILL)
    assert replayed(network, journal)["unclosed"]
    eventually(lambda: network.agent_pid("h1") not in {None, before}, "a new agent")
    network.settle()
    assert reaches(network.machine("vm1"), "10.0.0.2")
    assert replayed(network, journal)["inputs"] > 20


def replayed(network: Network, journal: Path) -> dict[str, Any]:
    """Return what `ayatori replay --json` says of a journal; there must be no difference."""
    done = network.run("replay", "--json", str(journal), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["differences"] == []
    return found
