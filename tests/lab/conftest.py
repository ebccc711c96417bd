"""Fixtures for tests that build labs; every one of them leaves the machine as it found it."""

from collections.abc import Iterator

import pytest

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
