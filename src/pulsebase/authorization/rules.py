"""What the caller of a request may reach: shared by the authorized components."""

from __future__ import annotations

from dataclasses import replace

from pulsebase.access.caller import caller
from pulsebase.access.service import Access
from pulsebase.ingest import ReadingRules
from pulsebase.model.errors import UnknownUserError


def rules_for(people: frozenset[str] | None, rules: ReadingRules) -> ReadingRules:
    """The rules, for readings of these people alone. The same rules for the same set of people, so that what waits for
    one commit can be checked at once.
    """
    if people is None:
        return rules
    kept = _rules.get(id(people))
    if kept is None or kept.people is not people or kept.now_us is not rules.now_us:
        if len(_rules) >= _MOST_RULES:
            _rules.clear()
        kept = _rules[id(people)] = replace(rules, people=people)
    return kept


#: By the identity of the set, which the rules hold on to, so that no other can have it meanwhile.
_rules: dict[int, ReadingRules] = {}
_MOST_RULES = 10_000


def require_everybody_or(origin: int, access: Access) -> None:
    """Raises `UnknownUserError` unless the caller may undo what came by this origin."""
    if caller().ask_everybody() is None:
        return
    if origin not in access.state.imports_of(caller().principal.number):
        raise UnknownUserError
