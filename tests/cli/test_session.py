"""What a command makes of answers that are not those it hopes for."""

from __future__ import annotations

import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from pulsebase.api.server import http_server
from pulsebase.api.server.http_server import owner_socket, private_folder
from pulsebase.cli.blocks import store_block
from pulsebase.cli.session import RefusedError, answer_of, client_at, listening
from pulsebase.ingest import Candidates
from pulsebase.model.errors import StopError
from pulsebase.settings import Settings
from pulsebase.wiring import build
from pulsebase.worker_rpc import OtherWorkers


def test_an_answer_on_the_owners_socket_that_is_no_json_is_an_error_in_words() -> None:
    with build(Settings(_env_file=None, store_url="memory://")) as parts, listening(parts) as (_, path):
        with client_at(path) as client, pytest.raises(RefusedError, match="the server answered with status 431"):
            answer_of(client.get("/v1/users", headers={"X-Long": "x" * 200_000}))
        with client_at(path) as client, pytest.raises(RefusedError, match="cannot be read"):
            answer_of(client.get("/docs"))


def test_sockets_are_made_where_a_path_is_short_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with owner_socket() as (path, _), private_folder() as folder:
        assert len(str(path)) < 108
        with OtherWorkers(folder, 1234567).answering({"number": lambda about: about + 1}):
            assert OtherWorkers(folder, 2).ask("number", 1) == {1234567: 2}
    monkeypatch.setattr(http_server, "_ANYBODYS", str(long))
    for made in (owner_socket, private_folder):
        with pytest.raises(StopError, match="whose path is too long; XDG_RUNTIME_DIR may name another one"), made():
            pass
    short = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setenv("XDG_RUNTIME_DIR", short)
    with private_folder() as folder:
        assert str(folder.parent) == short, "the person's own comes first"
    Path(short).rmdir()


class _Busy(BaseHTTPRequestHandler):
    """A server that has no room at first, and says no more than that."""

    left = 1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        busy, _Busy.left = _Busy.left > 0, _Busy.left - 1
        body = b"" if busy else b'{"stored": 1}'
        self.send_response(503 if busy else 200)
        self.send_header("Retry-After", "0" if busy else "Sun, 06 Nov 1994 08:49:37 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_that_is_busy_without_a_word_is_waited_for() -> None:
    rows = Candidates(["ann"], ["watch"], np.array([10**15]), np.array([75.0]), np.array([-1], np.int8), np.array([0]))
    said: list[str] = []
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
            assert store_block(client, "x", rows, said.append) == {"stored": 1}
        server.shutdown()
        thread.join()
    assert said == ["Waiting for the store: the server answered with status 503"]
