import itertools
from pathlib import Path

import pytest

from tests.state.store_contract import SharedStoreContract, StoreContract

_names = itertools.count()


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def url(self) -> str:
        return f"memory:contract-{next(_names)}"


class TestFileStore(SharedStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db"
