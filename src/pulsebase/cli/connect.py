"""`connect` and `disconnect`: get a person's consent, with a local listener for the browser's return, and revoke it."""

from __future__ import annotations

import http.server
import webbrowser
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.cli.users import path_of
from pulsebase.etl.connections import CONSENT_US
from pulsebase.model.errors import StopError
from pulsebase.model.timerange import SECOND_US
from pulsebase.settings import Settings

_PATH = "/callback"


def run_connect(settings: Settings, source: str, user_id: str, port: int, *, browser: bool) -> None:
    """Show where the person gives consent, and wait for their browser to come back.

    Raises:
        StopError: the port is taken, or no browser came back in time.
        RefusedError: the source is not configured, or refused the connection.
    """
    with _Listener(port) as listener, session(settings) as client:
        redirect_uri = f"http://127.0.0.1:{listener.server_port}{_PATH}"
        asked = {"user_id": user_id, "redirect_uri": redirect_uri}
        begun = answer_of(client.post(f"/v1/admin/sources/{source}/authorize", json=asked))
        _say(f"Open this address and give consent; the source sends you back to {redirect_uri}:")
        _say(begun["url"])
        if browser:
            webbrowser.open(begun["url"])
        came = listener.wait(begun["state"])
        made = answer_of(client.post(f"/v1/admin/sources/{source}/callback", json=came))
    _say(f"{made['user_id']} is connected to {made['source']}.")


def run_disconnect(settings: Settings, source: str, user_id: str) -> None:
    """Remove the connection.

    Raises:
        RefusedError: there is none.
    """
    with session(settings) as client:
        answer_of(client.delete(f"{path_of(user_id)}/sources/{quote(source, safe='')}"))
    _say(f"{user_id} is no longer connected to {source}; readings stay.")


class _Listener(http.server.HTTPServer):
    """Waits for the request that brings the state back."""

    def __init__(self, port: int) -> None:
        self.came: dict[str, str] = {}
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise StopError(f"cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error

    def wait(self, state: str) -> dict[str, str]:
        """Return the parameters that came back with the state.

        Raises:
            StopError: no request with the state came in time.
        """
        give_up_at = monotonic() + CONSENT_US / SECOND_US
        while self.came.get("state") != state:
            self.timeout = give_up_at - monotonic()
            if self.timeout <= 0:
                raise StopError("no browser came back from the source within ten minutes; start again")
            self.handle_request()
        return self.came


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Listener

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        here = parts.path == _PATH
        if here:
            query = parse_qs(parts.query)
            self.server.came = {name: query[name][0] for name in ("state", "code", "error") if name in query}
        text = b"Thank you. The rest is said where the command was typed." if here else b"Nothing is here."
        self.send_response(200 if here else 404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing, because the request line contains the code."""


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
