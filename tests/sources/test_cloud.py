"""What a source says of itself in numbers, however long they are."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx2 as httpx
import pytest

from pulsebase.model.errors import RejectedError, SourceUnavailableError
from pulsebase.model.timerange import SECOND_US
from pulsebase.sources.cloud import Limits
from pulsebase.sources.oauth import OAuthClient, Provider


@pytest.mark.parametrize(
    ("stated", "wait_s"),
    [("30", 30), ("9" * 5_000, 86_400), ("9" * 25, 86_400), ("soon", 60), ("-1", 60), ("", 60), (None, 60)],
)
def test_a_wait_is_a_day_at_most(stated: str | None, wait_s: int) -> None:
    limits = Limits(lambda: 0)
    with pytest.raises(SourceUnavailableError) as refused:
        limits.after(httpx.Response(429, headers={} if stated is None else {"retry-after": stated}))
    assert refused.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("stated", "life_s"),
    [("3600", 3600), ("1e400", None), ("1" + "0" * 30, 316_224_000), ("-5", 0), ('"' + "9" * 5_000 + '"', None)],
)
def test_a_life_of_tokens_is_years_at_most(stated: str, life_s: int | None) -> None:
    said = f'{{"access_token": "a", "refresh_token": "r", "expires_in": {stated}}}'.encode()

    class Cloud(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Cloud) as server, httpx.Client(trust_env=False) as client:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        oauth = OAuthClient(Provider(url, url, url, "me", None, ()), client, lambda: 0)
        try:
            if life_s is None:
                with pytest.raises(RejectedError):
                    oauth.exchange("code", oauth.new_verifier(), url)
            else:
                pair = oauth.exchange("code", oauth.new_verifier(), url)
                assert pair.expires_us == life_s * SECOND_US
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"RateLimit-Usage": "540, 612", "RateLimit-Limit": "540, 5400", "RateLimit-Reset": "100, 6000"}, 100),
        ({"RateLimit-Usage": "12, 5400", "RateLimit-Limit": "540, 5400", "RateLimit-Reset": "100, 6000"}, 6000),
        ({"RateLimit-Usage": "540", "RateLimit-Limit": "many", "RateLimit-Reset": "100"}, 60),
        ({}, 60),
    ],
)
def test_windows_that_are_used_up_say_when_to_come_back(headers: dict[str, str], expected_s: int) -> None:
    with pytest.raises(SourceUnavailableError) as raised:
        Limits(lambda: 0).after(httpx.Response(429, headers=headers))
    assert raised.value.retry_after_s == expected_s
