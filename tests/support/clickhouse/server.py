"""A shard: one engine on one folder, and its two doors. It ends when its standard input does.

python -m tests.support.clickhouse.server FOLDER CONFIG NATIVE_PORT HTTP_PORT LOG
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from tests.support.clickhouse.engine import Session
from tests.support.clickhouse.http import HttpServer
from tests.support.clickhouse.native import NativeServer

_HTTP_AT_ONCE = 8


def main(folder: str, config: str, native_port: str, http_port: str, log: str) -> None:
    """Serve until the standard input ends. Each question by the native protocol is a line of the log."""
    path = f"{folder}?config-file={config}"
    first = Session(path)  # keeps the engine as long as the process lives
    first.ask("SELECT 1", "TSV")
    noted = os.open(Path(log), os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def note(statement: str) -> None:
        os.write(noted, (" ".join(statement.split()) + "\n").encode())

    for server in (
        NativeServer(int(native_port), lambda: Session(path), note),
        HttpServer(int(http_port), lambda: Session(path), _HTTP_AT_ONCE),
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
