"""Requests to the API: what is sent again, and what errors mean."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic, sleep
from typing import Any

import httpx2 as httpx
import pyarrow as pa

from pulsebase.model.errors import (
    FieldError,
    QueryTimeoutError,
    RejectedError,
    RetryLaterError,
    StopError,
    TooManyRowsError,
    UnknownUserError,
)
from pulsebase.session import RefusedError, answer_of, detail_of

ARROW = "application/vnd.apache.arrow.stream"
#: How long a request that a busy server puts off is sent again before that is an error.
_PATIENCE_S = 120.0
_SECONDS = re.compile(r"[0-9]{1,4}")
_BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
#: What parameters of the API are called in Python.
_ARGUMENTS = {"start_date": "start", "end_date": "end", "user_ids": "user_id"}

#: Parameters of a request; None for what is left out.
Parameters = Mapping[str, Any]


class Requests:
    """Sends requests, and waits while the server is busy. Everything sent may be sent twice."""

    def __init__(self, client: httpx.Client, place: str, *, read_only: bool = False) -> None:
        """`place` says in errors where the server is. `read_only` sends nothing that could change anything."""
        self._client, self._place = client, place
        if read_only:
            client.event_hooks = {"request": [_refuse_changes]}

    def json(self, path: str, parameters: Parameters | None = None, *, method: str = "GET", body: Any = None) -> Any:
        """Return the JSON of an answer."""
        return answer_of(self._answered(method, path, params=_given(parameters), json=body))

    def arrow(self, path: str, parameters: Parameters) -> tuple[pa.Table, dict[str, str], httpx.Headers]:
        """Return the table of an answer, what its metadata say, and its headers."""
        response = self._answered("GET", path, params=_given(parameters), headers={"Accept": ARROW})
        table = pa.ipc.open_stream(response.content).read_all()
        about = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
        return table.replace_schema_metadata(None), about, response.headers

    def send_table(self, path: str, table: pa.Table) -> Any:
        """Send a table as an Arrow stream. Return the JSON of the answer, also if every row was refused."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = bytes(sink.getvalue())
        response = self._waited("POST", path, content=body, headers={"Content-Type": ARROW})
        if _slug(response) == "nothing-accepted":
            return response.json()
        _raise(response)
        return answer_of(response)

    def send_file(self, path: str, parameters: Parameters, pieces: Callable[[], Iterator[bytes]]) -> Any:
        """Send a body in pieces, which are made anew if it has to be sent again. Return the JSON of the answer."""
        give_up_at = monotonic() + _PATIENCE_S
        while True:
            with self._translated():
                response = self._client.post(path, params=_given(parameters), content=pieces())
            if not _put_off(response, give_up_at):
                _raise(response)
                return answer_of(response)

    @contextlib.contextmanager
    def pieces(self, path: str) -> Iterator[Iterator[bytes]]:
        """Yield the body of an answer, piece by piece."""
        with self._translated(), self._client.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                _raise(response)
            yield response.iter_raw()

    def _answered(self, method: str, path: str, **request: Any) -> httpx.Response:
        response = self._waited(method, path, **request)
        _raise(response)
        return response

    def _waited(self, method: str, path: str, **request: Any) -> httpx.Response:
        give_up_at = monotonic() + _PATIENCE_S
        while True:
            with self._translated():
                response = self._client.request(method, path, **request)
            if not _put_off(response, give_up_at):
                return response

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise StopError(f"{self._place} does not answer: {str(error) or type(error).__name__}") from error


def _refuse_changes(request: httpx.Request) -> None:
    if request.method != "GET":
        raise StopError("this library only reads: it was opened with read_only=True")


def _given(parameters: Parameters | None) -> dict[str, Any]:
    return {name: value for name, value in (parameters or {}).items() if value is not None}


def _put_off(response: httpx.Response, give_up_at: float) -> bool:
    """Wait if the server says that the same request may succeed soon. Return whether to send it again."""
    stated = response.headers.get("retry-after", "")
    if response.status_code not in _BUSY or not _SECONDS.fullmatch(stated) or monotonic() + int(stated) > give_up_at:
        return False
    sleep(int(stated))
    return True


def _slug(response: httpx.Response) -> str:
    try:
        return str(response.json()["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return ""


def _raise(response: httpx.Response) -> None:
    """Raise what an error answer means; the same errors as a store's own.

    Raises:
        RejectedError: an argument is wrong; names it. TooManyRowsError: the answer would be too long.
        UnknownUserError: nobody of that id is known.
        QueryTimeoutError: the question took too long.
        RetryLaterError: the server was busy all the while.
        RefusedError: anything else, a key that does not suffice for example.
    """
    if response.is_success:
        return
    slug, detail = _slug(response), detail_of(response)
    if slug == "not-found" and detail.startswith("nobody"):
        raise UnknownUserError(detail)
    if slug == "query-timeout":
        raise QueryTimeoutError(detail)
    if response.status_code in _BUSY:
        raise RetryLaterError(detail, int(response.headers.get("retry-after") or 1))
    found = response.json().get("errors") if slug else None
    if found:
        kind = TooManyRowsError if slug == "too-many-rows" else RejectedError
        raise kind(renamed([FieldError(**each) for each in found], _ARGUMENTS))
    if slug == "too-many-rows":
        raise TooManyRowsError.of("rows", detail)
    raise RefusedError(detail)


def renamed(errors: Sequence[FieldError], names: Mapping[str, str]) -> list[FieldError]:
    """Return errors with fields, and fields that their reasons name, under other names."""

    def other(found: re.Match[str]) -> str:
        return names.get(found[0], found[0])

    return [
        FieldError(names.get(each.field, each.field), re.sub(r"\b[a-z_]+\b", other, each.reason), each.index)
        for each in errors
    ]
