"""How the page's files are served: what browsers keep, what is packed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fastapi import FastAPI

from pulsebase.api.server.web_page import mount_page
from tests.support.in_process import InProcessClient

SCRIPT = b"console.log('pulse')\n" * 500


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"<!doctype html>")
    (tmp_path / "assets" / "index-abc.js").write_bytes(SCRIPT)
    return tmp_path


@pytest.fixture
def client(folder: Path) -> InProcessClient:
    app = FastAPI()
    mount_page(app, folder)
    return InProcessClient(app)


def test_hashed_files_are_kept_for_good_and_the_page_is_asked_for_again(client: InProcessClient) -> None:
    assert "immutable" in client.get("/app/assets/index-abc.js").headers["cache-control"]
    assert {client.get(f"/app/{path}").headers["cache-control"] for path in ("", "live", "cohort")} == {"no-cache"}


@pytest.mark.parametrize("taken", ["gzip", "br, gzip;q=0.5", "deflate,gzip"])
def test_texts_are_packed_for_who_takes_them(client: InProcessClient, folder: Path, taken: str) -> None:
    answer = client.get("/app/assets/index-abc.js", headers={"Accept-Encoding": taken})
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert int(answer.headers["content-length"]) < len(SCRIPT) / 10
    assert answer.content == SCRIPT
    known = {"Accept-Encoding": taken, "If-None-Match": answer.headers["etag"]}
    assert client.get("/app/assets/index-abc.js", headers=known).status_code == 304
    (folder / "assets" / "index-abc.js").write_bytes(b"changed")
    os.utime(folder / "assets" / "index-abc.js", ns=(1, 1))
    assert client.get("/app/assets/index-abc.js", headers={"Accept-Encoding": taken}).content == b"changed"


@pytest.mark.parametrize("headers", [{"Accept-Encoding": ""}, {"Accept-Encoding": "gzip;q=0"}, {"Range": "bytes=0-9"}])
def test_others_get_files_as_they_are(client: InProcessClient, headers: dict[str, str]) -> None:
    answer = client.get("/app/assets/index-abc.js", headers=headers)
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.content == (SCRIPT[:10] if "Range" in headers else SCRIPT)
