"""The ZooKeeper store against the same model of dictionaries as the others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from actors.state.store.interface import Store
from actors.state.store.open import open_store
from actors.state.store.sqlite.changes import LogBounds
from tests.state.test_store_model import StoreMachine
from tests.zookeeper.ensemble import Ensemble, running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ensemble]:
    with running(tmp_path) as ensemble:
        yield ensemble


def test_any_sequence_of_calls_leaves_zookeeper_and_the_model_the_same(server: Ensemble) -> None:
    class ZookeeperMachine(StoreMachine):
        def open_one(self, name: str, bounds: LogBounds) -> Store:
            del bounds  # of a log that this store does not have
            return open_store(server.url(name))

    run_state_machine_as_test(
        ZookeeperMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
