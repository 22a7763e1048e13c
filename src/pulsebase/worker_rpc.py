"""The other workers of a server: what each of them keeps in its memory, asked over a private socket.

Every worker listens on a Unix socket in a folder that only their owner can enter. A question is one connection: its
name and what it is about, then the answer, both as MessagePack.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

logger = logging.getLogger(__name__)

#: How long another worker may take to answer.
_MAX_WAIT_S = 5.0
_QUESTION_LIMIT_BYTES = 1 << 20
_ANSWER_LIMIT_BYTES = 64 << 20
#: How often the thread that answers looks whether it should end.
_LOOK_S = 0.1

Answers = Mapping[str, Callable[[Any], Any]]


@dataclass(frozen=True, slots=True)
class OtherWorkers:
    """The workers that belong together, told apart by `number`; without a folder this process is alone."""

    folder: Path | None = None
    number: int = 0

    def ask(self, question: str, about: Any = None) -> dict[int, Any]:
        """What each of the others answers, by its number, in no longer than it takes the slowest; who is not there or
        does not answer in time is left out.
        """
        found: dict[int, Any] = {}
        asking = [
            threading.Thread(target=_ask, args=(path, question, about, found), daemon=True) for path in self._others()
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        return found

    @contextlib.contextmanager
    def answering(self, answers: Answers) -> Iterator[None]:
        """Answer the others' questions during the block, each in a thread of its own."""
        if self.folder is None:
            yield
            return
        path = socket_of(self.folder, self.number)
        with _Server(str(path), answers) as server:
            thread = threading.Thread(target=server.serve_forever, args=(_LOOK_S,), name="pulsebase-siblings")
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
                path.unlink(missing_ok=True)

    def _others(self) -> list[Path]:
        if self.folder is None:
            return []
        return [path for path in self.folder.glob("*.worker") if path.stem != str(self.number)]


def socket_of(folder: Path, number: int) -> Path:
    """Where the worker of this number answers."""
    return folder / f"{number}.worker"


def _ask(path: Path, question: str, about: Any, found: dict[int, Any]) -> None:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(_MAX_WAIT_S)
            asked.connect(str(path))
            asked.sendall(msgspec.msgpack.encode([question, about]))
            asked.shutdown(socket.SHUT_WR)
            with asked.makefile("rb") as answer:
                found[int(path.stem)] = msgspec.msgpack.decode(answer.read(_ANSWER_LIMIT_BYTES))
    except (FileNotFoundError, ConnectionRefusedError):
        pass  # it has just ended
    except (OSError, msgspec.DecodeError) as error:  # or it has said in its log why not
        logger.warning("worker %s did not answer: %s", path.stem, error)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: str, answers: Answers) -> None:
        super().__init__(path, _Handler)
        self.answers = answers

    def handle_error(self, request: Any, client_address: Any) -> None:
        del request, client_address
        logger.exception("a question of another worker failed")


class _Handler(socketserver.StreamRequestHandler):
    timeout = _MAX_WAIT_S

    def handle(self) -> None:
        assert isinstance(self.server, _Server)
        question, about = msgspec.msgpack.decode(self.rfile.read(_QUESTION_LIMIT_BYTES))
        self.wfile.write(msgspec.msgpack.encode(self.server.answers[question](about)))
