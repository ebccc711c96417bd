"""The datapaths that this suite holds to the same behaviour, and a bench on each."""

from collections.abc import Iterator

import pytest

from actors.datapath.kernel_channel import KernelChannel
from actors.datapath.soft_channel import spawn_soft_datapath
from tests.datapath.conformance.bench import Bench, OpenChannel
from tests.datapath.soft.namespaces import namespaces_are_permitted

_KINDS = ("soft", pytest.param("kernel", marks=pytest.mark.kernel))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this needs network namespaces."""
    for item in items:
        if "conformance" in item.path.parts:
            item.add_marker(pytest.mark.lab)
            if not namespaces_are_permitted():
                item.add_marker(pytest.mark.skip(reason="may not make network namespaces"))


@pytest.fixture(scope="session", params=_KINDS)
def open_channel(request: pytest.FixtureRequest) -> OpenChannel:
    """A way to a fresh datapath program, or to the kernel's module."""
    return KernelChannel if request.param == "kernel" else spawn_soft_datapath


@pytest.fixture(scope="session")
def shared_bench(open_channel: OpenChannel) -> Iterator[Bench]:
    """One bench for the tests that only need flows of their own."""
    bench = Bench(open_channel)
    yield bench
    bench.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """A bench without flows."""
    shared_bench.reset()
    return shared_bench


@pytest.fixture
def fresh_bench(open_channel: OpenChannel) -> Iterator[Bench]:
    """A bench of this test's own."""
    bench = Bench(open_channel)
    yield bench
    bench.close()
