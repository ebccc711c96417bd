"""Fixtures of the scenarios: a lab of one's own, or one that a module's scenarios share.

A module that shares a lab names its document `DOCUMENT`. After each scenario the journals of all
hosts are replayed, and the machine's own network must be as it was once the lab is gone.
"""

from collections.abc import Iterator

import pytest

from tests.scenarios.network import Network, network_of


@pytest.fixture
def network() -> Iterator[Network]:
    """Give a lab of the test's own that is not up yet."""
    with network_of() as network:
        yield network


@pytest.fixture(scope="module")
def lab_of_module(request: pytest.FixtureRequest) -> Iterator[Network]:
    """Run the lab of the module's `DOCUMENT` for all its scenarios."""
    with network_of(request.module.DOCUMENT) as network:
        yield network


@pytest.fixture
def shared(lab_of_module: Network) -> Iterator[Network]:
    """Give the module's lab, and replay its journals after the scenario."""
    yield lab_of_module
    lab_of_module.check_logs()
    lab_of_module.check_journals()
