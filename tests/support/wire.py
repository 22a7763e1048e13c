"""A network between a program and its server that fails where a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Literal

#: Whether the message that cuts the line still gets through, its answer being lost.
Cut = Literal["before", "after"]


class FailingWire:
    """Forwards connections; the first message that contains `cut_at` cuts its connection, before or after it."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._cut_at: bytes | None = None
        self._cut: Cut = "before"
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_next(self, cut_at: bytes, cut: Cut) -> None:
        """Cut the connection over which this goes next."""
        self._cut, self._cut_at = cut, cut_at

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server, mute = self._connect(), threading.Event()
                answers = threading.Thread(target=self._answer, args=(server, client, mute), daemon=True)
                answers.start()
                threading.Thread(target=self._forward, args=(client, server, mute, answers), daemon=True).start()

    def _forward(
        self, client: socket.socket, server: socket.socket, mute: threading.Event, answers: threading.Thread
    ) -> None:
        with client, server, contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if self._cut_at is not None and self._cut_at in data:
                    self._cut_at = None
                    self.cuts += 1
                    mute.set()
                    if self._cut == "after":
                        server.sendall(data)
                    break
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            answers.join()  # by then the server is done with whatever it got
            client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if not mute.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_WR)
