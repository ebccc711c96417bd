"""What tests of the ZooKeeper store share: openers, and waiting."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator

import pytest

from actors.state.store.interface import ObjectKey, Store, StoreError
from actors.state.store.open import open_store
from tests.state.store_recorder import PATIENCE
from tests.zookeeper.ensemble import Ensemble
from tests.zookeeper.proxy import Proxy

B1, B2, B3 = (ObjectKey("bridge", name) for name in ("b1", "b2", "b3"))
_names = itertools.count()
Opener = Callable[[str], Store]


class ZookeeperFixtures:
    @pytest.fixture
    def root(self) -> str:
        return f"test-{next(_names)}"

    @pytest.fixture
    def reports(self) -> list[str]:
        return []

    @pytest.fixture
    def opener(self, reports: list[str]) -> Iterator[Opener]:
        with contextlib.ExitStack() as stack:

            def open_one(url: str) -> Store:
                store = open_store(url, report=lambda message, _: reports.append(message))
                stack.callback(store.close)
                return store

            yield open_one


class ProxiedServerFixtures(ZookeeperFixtures):
    """For modules whose `server` is an ensemble of one."""

    @pytest.fixture
    def proxy(self, server: Ensemble) -> Iterator[Proxy]:
        with Proxy(server.servers[0].address) as proxy:
            yield proxy

    @pytest.fixture
    def near(self, opener: Opener, server: Ensemble, root: str) -> Store:
        """A store with a link that holds."""
        return opener(server.url(root))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except StoreError:
        return True
    return False
