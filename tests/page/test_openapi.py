"""The page's types come from `client/openapi.json`, so that file must be the server's own document."""

from __future__ import annotations

from pathlib import Path

from pulsebase.cli.openapi import openapi_text

COMMITTED = Path(__file__).parents[2] / "client" / "openapi.json"


def test_the_committed_document_is_the_servers_own() -> None:
    hint = "run `.venv/bin/pulsebase openapi > client/openapi.json`, then `npm run types` in client/"
    assert COMMITTED.read_text(encoding="utf-8") == openapi_text(), hint
