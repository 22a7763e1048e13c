"""What a command makes of answers that are not those it hopes for."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2 as httpx
import numpy as np
import pytest

from pulsebase.cli.blocks import store_block
from pulsebase.cli.session import RefusedError, answer_of, client_at, listening
from pulsebase.ingest import Candidates
from pulsebase.settings import Settings
from pulsebase.wiring import build


def test_an_answer_on_the_owners_socket_that_is_no_json_is_an_error_in_words() -> None:
    with build(Settings(_env_file=None, store_url="memory://")) as parts, listening(parts) as (_, path):
        with client_at(path) as client, pytest.raises(RefusedError, match="the server answered with status 431"):
            answer_of(client.get("/v1/users", headers={"X-Long": "x" * 200_000}))
        with client_at(path) as client, pytest.raises(RefusedError, match="cannot be read"):
            answer_of(client.get("/docs"))


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
