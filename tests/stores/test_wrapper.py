"""A wrapper forwards the whole contract, and a border only what it was told to."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pulsebase.stores.contract import Reader, Registry, Store, Writer
from pulsebase.stores.erased_users import ErasedUsersStore
from pulsebase.stores.metered import MeteredStore
from pulsebase.stores.wrapper import CONTRACT, WrapperStore, passing_on


class Recorder:
    """Stands in for any store; notes what is called how, and answers with an object of its own."""

    def __init__(self) -> None:
        self.called: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answer = object()

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> object:
            self.called.append((name, given, named))
            return self.answer

        return call


def defined_in(part: type) -> set[str]:
    return {name for name in vars(part) if not name.startswith("_")}


def test_the_contract_is_what_its_four_halves_promise() -> None:
    assert defined_in(Writer) | defined_in(Registry) | defined_in(Reader) | defined_in(Store) == CONTRACT
    assert {"write", "put_user", "series", "close"} <= CONTRACT


def test_a_wrapper_has_the_contract_and_nothing_else() -> None:
    assert defined_in(WrapperStore) == CONTRACT


@pytest.mark.parametrize("wrapper", [WrapperStore, MeteredStore, ErasedUsersStore])
def test_a_wrapper_takes_what_the_contract_says(wrapper: type) -> None:
    for name in CONTRACT:
        promised = inspect.signature(getattr(Store, name), eval_str=False)
        assert inspect.signature(getattr(wrapper, name), eval_str=False) == promised, name


@pytest.mark.parametrize("name", sorted(CONTRACT))
def test_every_call_reaches_the_store_as_it_was_made(name: str) -> None:
    parameters = list(inspect.signature(getattr(Store, name)).parameters.values())[1:]
    given = [object() for each in parameters if each.kind is not each.KEYWORD_ONLY]
    named = {each.name: object() for each in parameters if each.kind is each.KEYWORD_ONLY}
    store: Any = Recorder()
    answer = getattr(WrapperStore(store), name)(*given, **named)
    assert store.called == [(name, tuple(given), named)]
    gives_nothing = inspect.signature(getattr(Store, name)).return_annotation == "None"
    assert answer is (None if gives_nothing else store.answer)


def test_a_border_passes_on_what_it_was_told_to_and_answers_for_itself() -> None:
    @passing_on({"ping"})
    class Border(WrapperStore):
        def knows(self, user_id: str) -> bool:
            return user_id == "ann"

    class Later(Border):
        pass

    store: Any = Recorder()
    for border in (Border(store), Later(store)):
        border.ping()
        assert border.knows("ann")
        for name in CONTRACT - {"ping", "knows"}:
            with pytest.raises(NotImplementedError, match=f"does not say who may use `{name}`"):
                getattr(border, name)
    assert [name for name, _, _ in store.called] == ["ping", "ping"]
