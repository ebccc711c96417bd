"""An agent whose kernel lacks what it needs: refused by name, or on the soft datapath instead.

The kernel's part is taken by a soft datapath that is said to lack one thing.
"""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.test_supervisor import AgentProcess

pytestmark = pytest.mark.lab

_PROGRAM = """
    import pathlib, sys
    from actors.datapath.features import FlowProbe
    from actors.datapath.soft_channel import spawn_soft_datapath
    from actors.edge import datapath_choice

    kernels, knows = [], FlowProbe.masked_rewrites

    def kernel(*, claim=True):
        kernels.append(spawn_soft_datapath())
        return kernels[-1]

    def masked_rewrites(probe):
        return knows(probe) and probe._dialogue.channel not in kernels

    datapath_choice.KernelChannel = kernel
    FlowProbe.masked_rewrites = masked_rewrites
    config = pathlib.Path(CONFIG)
    config.write_text(config.read_text().replace("datapath: soft", "datapath: WANTED"))
    sys.argv = ["ayatori", "agent", "--config", str(config)]
    from cli.main import run
    run()
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], AgentProcess]]:
    started: list[AgentProcess] = []

    def starter(wanted: str) -> AgentProcess:
        program = textwrap.dedent(_PROGRAM).replace("WANTED", wanted)
        started.append(AgentProcess(tmp_path, program=program))
        return started[-1]

    yield starter
    for agent in started:
        agent.close()


def test_a_kernel_that_lacks_something_is_refused_by_its_name(
    start: Callable[[str], AgentProcess],
) -> None:
    agent = start("kernel")
    assert agent.process.wait(30) == 1
    last = agent.logged().splitlines()[-1]
    assert last == (
        "ayatori: the datapath lacks rewrites under a mask: "
        "use a newer kernel, or the soft datapath"
    )


def test_auto_takes_the_soft_datapath_and_says_why(start: Callable[[str], AgentProcess]) -> None:
    agent = start("auto")
    agent.wait_ready()
    status = agent.ask({"ask": "status"})
    assert status["datapath"] == "soft"
    assert status["datapath_features"] == {
        "megaflows": True,
        "ufids": True,
        "masked_rewrites": True,
        "unaligned": True,
        "upcalls": "shared",
    }
    (line,) = [line for line in agent.logged().splitlines() if "takes the soft" in line]
    assert "lacks rewrites under a mask" in line
    assert status["restarts"] == {}
    assert agent.end() == 0
