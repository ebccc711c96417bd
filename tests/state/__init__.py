import pytest

pytest.register_assert_rewrite(
    "tests.state.store_contract",
    "tests.state.store_contract_base",
    "tests.state.store_contract_objects",
    "tests.state.store_contract_tables",
    "tests.state.store_contract_watches",
    "tests.state.store_recorder",
)
