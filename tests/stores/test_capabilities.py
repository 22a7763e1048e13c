"""What sets a store apart is asked of the store, and is so; nobody asks for its class."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pulsebase.model.errors import StopError
from pulsebase.stores.duckdb.engine.lock import holder_of
from pulsebase.stores.duckdb.store import DuckdbStore
from pulsebase.stores.erased_users import ErasedUsers, ErasedUsersStore
from pulsebase.stores.memory import MemoryStore
from pulsebase.stores.open import parse_store_url, set_up_store
from tests.stores.harness import Reading, at, write

SOURCE = Path(__file__).parents[2] / "src" / "pulsebase"
TEN = at("2024-01-15T10:00:00")


def test_an_embedded_store_can_be_copied_asked_and_found(tmp_path: Path) -> None:
    path = tmp_path / "pulse.duckdb"
    store = ErasedUsersStore(DuckdbStore(path), ErasedUsers())
    try:
        write(store, Reading(TEN, 7012))
        said = store.capabilities()
        assert (said.writes_alone, said.erasure_log) == (True, None)
        assert said.embedded is not None
        assert said.embedded.select("SELECT count(*) AS n FROM readings", 10, 5).to_pylist() == [{"n": 1}]
        assert Path(said.embedded.backup(tmp_path / "copy").database).exists()
        said.embedded.advertise("/somewhere")
        holder = holder_of(path)
        assert holder is not None
        assert holder.socket == "/somewhere"
        said.embedded.advertise(None)
        again = holder_of(path)
        assert again is not None
        assert again.socket is None
    finally:
        store.close()


def test_a_store_in_memory_is_nobody_elses_and_can_nothing_besides() -> None:
    said = MemoryStore().capabilities()
    assert (said.writes_alone, said.embedded, said.erasure_log) == (True, None, None)


def test_an_address_says_who_may_have_the_store_and_whether_it_stays() -> None:
    said = {
        url: (parse_store_url(url).is_shared, parse_store_url(url).is_kept)
        for url in ("memory://", "duckdb:///a.duckdb", "postgresql://ann@host/pulse")
    }
    assert list(said.values()) == [(False, False), (False, True), (True, True)]


@pytest.mark.parametrize("url", ["memory://", "duckdb:///a.duckdb"])
def test_what_sets_itself_up_is_not_set_up(url: str) -> None:
    with pytest.raises(StopError, match="names no server store"):
        set_up_store(url, 30)


def test_no_code_asks_for_the_class_of_a_store() -> None:
    asking = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "Store" in text else ():
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"isinstance", "type"}
            ):
                names = {each.id for arg in node.args for each in ast.walk(arg) if isinstance(each, ast.Name)}
                if any(name.endswith("Store") for name in names):
                    asking.append(f"{path.relative_to(SOURCE)}:{node.lineno}")
    assert asking == []
