"""The log on standard error: text for people, or one JSON object a line for machines, both with the request id."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from pulsebase.cli.output import plain
from pulsebase.settings import Settings
from pulsebase.tracing import REQUEST_ID

#: Libraries that log more than an operator wants to know.
_CHATTY = ("httpx2", "httpcore2", "urllib3", "uvicorn.error", "opentelemetry", "mcp")


def set_up_log(settings: Settings) -> None:
    """Set up the log as the settings say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_with_request_id)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else ConsoleLines())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = REQUEST_ID.get()
    return True


class ConsoleLines(logging.Formatter):
    """Formats a line of time, level, logger and message, and the id of the request if there is one."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the library's name
        """See `logging.Formatter`."""
        record.message = plain(record.message)  # one line for each message, whatever it contains
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", "")
        return f"{line} request_id={request_id}" if request_id else line


class JsonLines(logging.Formatter):
    """Formats one JSON object per line: `time`, `level`, `logger` and `message`, then `request_id`, `error` (the
    traceback) and the fields of the message, as far as they exist.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
        }
        if request_id := getattr(record, "request_id", ""):
            said["request_id"] = request_id
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(said | getattr(record, "fields", {})).decode()
