"""A receiver of webhooks: a real HTTP server on loopback that answers as it is told and keeps what it gets."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.support.process import wait_until

#: Path, header fields by their lowercase name, body.
Came = tuple[str, dict[str, str], bytes]
#: Settings with which a server may call it.
ALLOWED: dict[str, Any] = {"webhook_private_networks": ("127.0.0.0/8",)}


@dataclass
class Receiver:
    """What came, and how it is answered.

    Attributes:
        port: where it listens.
        status: what it answers.
        answers: header fields of its answers.
        silent: it takes requests and answers nothing while this is not set.
    """

    port: int = 0
    status: int = 200
    answers: dict[str, str] = field(default_factory=dict)
    silent: threading.Event = field(default_factory=threading.Event)
    came: list[Came] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self.silent.set()

    def open(self) -> None:
        """Listen, on the same port as before."""
        if self._server is not None:
            return
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler_of(self))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def shut(self) -> None:
        """Listen no more: whoever calls is refused."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """The bodies that came, each checked as the library for receivers does it."""
        library = Webhook(secret)
        return [dict(library.verify(body, headers)) for _, headers, body in list(self.came)]

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.came) >= count, f"{count} requests", 60)

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in list(self.came)]

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in list(self.came)]


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # whoever sent it was killed in the middle
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.status
            receiver.came.append((self.path, headers, body))
            if not receiver.silent.wait(30):
                return
            with contextlib.suppress(ConnectionError):  # of a server that was killed
                self.send_response(status)
                for name, value in receiver.answers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.open()
    try:
        yield receiver
    finally:
        receiver.silent.set()
        receiver.shut()
