"""`deploy/compose.yaml` as `docker compose` would read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.deploy.files import DEPLOY

COMPOSE = DEPLOY / "compose.yaml"
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


class MissingVariableError(Exception):
    """A variable that has to be set is not; the message is the one of the file."""


def composed(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with these variables in place: an empty one counts as one that is not set."""

    def value(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        given = variables.get(found["name"])
        if not given and found["kind"] == "?":
            raise MissingVariableError(found["rest"])
        return given or found["rest"] or ""

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: filled(each) for name, each in node.items()}
        if isinstance(node, list):
            return [filled(each) for each in node]
        return _VARIABLE.sub(value, node) if isinstance(node, str) else node

    found: dict[str, Any] = filled(yaml.safe_load(COMPOSE.read_text()))
    return found
