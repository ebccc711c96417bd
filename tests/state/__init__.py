import pytest

pytest.register_assert_rewrite("tests.state.store_contract", "tests.state.store_recorder")
