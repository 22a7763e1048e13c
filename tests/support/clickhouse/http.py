"""HTTP, as far as `clickhouse-connect` asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import LifoQueue
from urllib.parse import parse_qsl, urlsplit

from tests.support.clickhouse.engine import INSERT, Session, error_code

#: Arguments that are no settings; those that begin with `param_` are values of a statement.
_NO_SETTINGS = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "role", "quota_key"),
        *("session_id", "session_check", "session_timeout", "client_protocol_version", "buffer_size"),
        *("compress", "decompress", "enable_http_compression", "wait_end_of_query"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    }
)
_PARAMETER = "param_"
_FORMAT = re.compile(r"(?is)\sFORMAT\s+(\w+)\s*;?\s*\Z")


class HttpServer(ThreadingHTTPServer):
    """Listens on loopback; so many requests are answered at once, the others wait."""

    request_queue_size = 64

    def __init__(self, port: int, open_session: Callable[[], Session], at_once: int) -> None:
        #: The last one used comes first: it mostly has the settings of the next statement.
        self.sessions: LifoQueue[Session] = LifoQueue()
        for _ in range(at_once):
            self.sessions.put(open_session())
        super().__init__(("127.0.0.1", port), _Request)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: HttpServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            self._serve(self._chunked())
        else:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _chunked(self) -> bytes:
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _serve(self, body: bytes) -> None:
        url = urlsplit(self.path)
        arguments = dict(parse_qsl(url.query, keep_blank_values=True))
        if url.path == "/ping":
            self._answer(200, b"Ok.\n")
            return
        statement = arguments.get("query") or ""
        if not statement:
            first, _, rest = body.partition(b"\n")
            starts = INSERT.fullmatch(first.decode(errors="replace"))
            statement, body = (first.decode(), rest) if starts else (body.decode(), b"")
        session = self.server.sessions.get()
        try:
            settings = {
                name: value
                for name, value in arguments.items()
                if name not in _NO_SETTINGS and not name.startswith(_PARAMETER)
            }
            session.prepare(arguments.get("database") or "default", settings)
            form, answer = self._done(session, statement, body, arguments)
        except Exception as error:
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": str(error_code(error))})
        else:
            self._answer(200, answer, {"X-ClickHouse-Format": form, "X-ClickHouse-Timezone": "UTC"})
        finally:
            self.server.sessions.put(session)

    @staticmethod
    def _done(session: Session, statement: str, body: bytes, arguments: dict[str, str]) -> tuple[str, bytes]:
        insertion = INSERT.fullmatch(statement)
        if insertion and insertion[4]:
            session.insert(insertion[1], insertion[4], [body])
            return "TabSeparated", b""
        form = arguments.get("default_format", "TabSeparated")
        if stated := _FORMAT.search(statement):
            form, statement = stated[1], statement[: stated.start()]
        parameters = {
            name.removeprefix(_PARAMETER): value for name, value in arguments.items() if name.startswith(_PARAMETER)
        }
        return form, session.ask(statement, form, parameters)

    def _answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
