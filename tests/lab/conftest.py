"""Fixtures for tests that build labs; every one of them leaves the machine as it found it."""

from collections.abc import Iterator

import pytest

from tests.lab.kept_lab import KeptLab, keeping, start
from tests.lab.machine import snapshot
from tests.lab.runner import LabRunner


@pytest.fixture
def untouched() -> Iterator[None]:
    """Fail the test if the machine's own network differs after it."""
    before = snapshot()
    yield
    assert snapshot() == before


@pytest.fixture
def lab(untouched: None) -> Iterator[LabRunner]:  # noqa: ARG001 - checked after the lab has ended
    """Give a lab that runs the real commands and agents; it always ends with the test."""
    runner = LabRunner()
    try:
        yield runner
    finally:
        runner.close()


@pytest.fixture
def kept(untouched: None) -> Iterator[KeptLab]:  # noqa: ARG001
    with keeping() as runner:
        yield runner


@pytest.fixture
def running(kept: KeptLab) -> KeptLab:
    """Give a lab that the test may change."""
    return start(kept)


@pytest.fixture(scope="class")
def still() -> Iterator[KeptLab]:
    """Give a lab that the tests of a class share, so they only look at it."""
    before = snapshot()
    with keeping() as runner:
        yield start(runner)
    assert snapshot() == before
