"""Fixtures of the scenarios: a lab of one's own, or one that a module's scenarios share.

A module that shares a lab names its document `DOCUMENT`. After each scenario the journals of all
hosts are replayed, and the machine's own network must be as it was once the lab is gone.

Labs run on the soft datapath; those of scenarios marked `kernel` run on the kernel's. A scenario
marked `both_datapaths` is one of each.
"""

from collections.abc import Iterator

import pytest

from tests.scenarios.kernel_requests import KernelRequests, kernel_of
from tests.scenarios.network import Network, network_of

_BOTH = ("soft", pytest.param("kernel", marks=pytest.mark.kernel))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_datapaths: a scenario for the soft and the kernel's")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if next(metafunc.definition.iter_markers("both_datapaths"), None) is not None:
        metafunc.parametrize("datapath", _BOTH, indirect=True, scope="module")


@pytest.fixture(scope="module")
def datapath(request: pytest.FixtureRequest) -> str:
    """Name the datapath that labs run on."""
    asked: str | None = getattr(request, "param", None)
    if asked is not None:
        return asked
    return "kernel" if request.node.get_closest_marker("kernel") else "soft"


@pytest.fixture
def network(datapath: str) -> Iterator[Network]:
    """Give a lab of the test's own that is not up yet."""
    with network_of(datapath=datapath) as network:
        yield network


@pytest.fixture(scope="module")
def lab_of_module(request: pytest.FixtureRequest, datapath: str) -> Iterator[Network]:
    """Run the lab of the module's `DOCUMENT` for all its scenarios."""
    with network_of(request.module.DOCUMENT, datapath=datapath) as network:
        yield network


@pytest.fixture
def shared(lab_of_module: Network) -> Iterator[Network]:
    """Give the module's lab, and replay its journals after the scenario."""
    yield lab_of_module
    lab_of_module.check_logs()
    lab_of_module.check_journals()


@pytest.fixture
def kernel(shared: Network) -> Iterator[KernelRequests]:
    """Give a way to the datapath of the lab's h1."""
    requests = kernel_of(shared, "h1")
    yield requests
    requests.close()
