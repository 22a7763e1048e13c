"""Pulsebase as a library: what a notebook imports."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest

import pulsebase
from pulsebase import open_store, query_top, query_users
from pulsebase.model.errors import StopError, StoreLockedError
from pulsebase.model.users import User
from tests.stores.harness import Reading, at, write

TEN = at("2023-01-15T10:00:00")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"duckdb:///{tmp_path / 'pulse.duckdb'}"


def test_a_store_answers_both_questions_and_is_let_go_of(url: str) -> None:
    with open_store(url) as library:
        library.store.put_user(User("ann", gender="male", birth_date=date(1990, 1, 1)))
        write(library.store, Reading(TEN, 6100), Reading(TEN, 9000, user_id="bob"))
        start, end = datetime(2023, 1, 1), datetime(2024, 1, 1)
        found = library.query_users(min_age=24, gender="male", min_avg_heart_rate=60.0, date_from=start, date_to=end)
        assert found == ["ann"]
        assert query_users(library.store, None, None, 60, "2023-01-01", date(2023, 1, 15)) == ["bob", "ann"]
        assert library.query_top("bob", start, end) == query_top(library.store, "bob", start, end) == [90.0]
        with pytest.raises(StoreLockedError):
            open_store(url)
    library.close()
    with open_store(url) as again:
        assert again.query_top("ann", "2023-01-15", "2023-01-15", 3, tz="Europe/Berlin") == [61.0]


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(StopError, match="store URL"):
        open_store("pulse.duckdb")


def test_the_package_alone_loads_nothing_and_knows_its_names() -> None:
    code = "import pulsebase, sys; print(pulsebase.__version__, 'duckdb' in sys.modules, 'fastapi' in sys.modules)"
    code += "; pulsebase.open_store; print('duckdb' in sys.modules, 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [pulsebase.__version__, "False", "False", "False", "False"]
    for name in pulsebase.__all__:
        assert getattr(pulsebase, name)
    with pytest.raises(AttributeError, match="open_shop"):
        _ = pulsebase.open_shop
