"""--kernel: whether this run is that of the tests marked `kernel`, or of all others.

And no test of properties is held to a time: how long an example takes is the machine's matter.

The tests marked `kernel` need a kernel with the openvswitch module, which `python -m tests.kernel`
finds or boots. They are left out of other runs without a word, being no part of them.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pykka import ActorRegistry

from tests.kernel.families import have_openvswitch

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def actors_forgotten() -> Iterator[None]:
    """Leave nothing of a test's lane: pykka keeps all actors that were not stopped, and a buffer each."""
    before = {id(ref) for ref in ActorRegistry.get_all()}
    yield
    for ref in ActorRegistry.get_all():
        if id(ref) not in before:
            ActorRegistry.unregister(ref)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kernel",
        action="store_true",
        help="run the tests marked `kernel`, and only them, on this kernel's openvswitch module",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    if session.config.getoption("--kernel") and not have_openvswitch():
        raise pytest.UsageError(
            "--kernel: this kernel has no openvswitch module; `python -m tests.kernel` boots one"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = bool(config.getoption("--kernel"))
    items[:] = [item for item in items if bool(item.get_closest_marker("kernel")) is wanted]
