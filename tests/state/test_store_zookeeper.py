import itertools
from collections.abc import Iterator

import pytest

from tests.state.store_contract import SharedStoreContract
from tests.zookeeper.ensemble import Ensemble, running

_names = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    with running(tmp_path_factory.mktemp("zookeeper")) as ensemble:
        yield ensemble


class TestZookeeperStore(SharedStoreContract):
    tells_every_version = False

    @pytest.fixture
    def url(self, server: Ensemble) -> str:
        return server.url(f"contract-{next(_names)}")
