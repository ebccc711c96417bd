"""Fixtures of the soft datapath's tests; `host` is a namespace of the module's or test's own."""

from collections.abc import Iterator

import pytest

from tests.datapath.soft.agent import Agent
from tests.datapath.soft.namespaces import Namespace


@pytest.fixture
def agent(host: Namespace) -> Iterator[Agent]:
    """Give an agent's end of a soft datapath in `host`, with a datapath made."""
    with Agent(host) as agent:
        agent.make_datapath()
        yield agent
