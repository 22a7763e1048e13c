import pytest

# These hold assertions without being test files themselves.
pytest.register_assert_rewrite("tests.stores.laws", "tests.stores.machine")
