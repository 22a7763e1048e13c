"""`openapi`: the document that the page's types are generated from."""

from __future__ import annotations

import json

from pulsebase.settings import Settings
from pulsebase.wiring import build


def openapi_text(*, owners: bool = False) -> str:
    """Return the OpenAPI document, or that of the owner's routes, as indented JSON. It is the same for every
    installation of a version.
    """
    with build(Settings.model_construct(store_url="memory://")) as parts:  # ignoring the settings of this machine
        return (
            json.dumps(parts.app.owner_openapi() if owners else parts.app.openapi(), indent=2, ensure_ascii=False)
            + "\n"
        )
