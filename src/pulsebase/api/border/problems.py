"""One form for every error: `application/problem+json` (RFC 9457). It never repeats values of the request."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from pulsebase.api.border.browsers import problem_page, wants_page
from pulsebase.api.border.influx_errors import influx_members
from pulsebase.api.border.request_scope import came_by_socket
from pulsebase.files.disk_errors import meaning_of, meaning_of_sqlite
from pulsebase.model.errors import (
    MOST_NAMED,
    DiskFailedError,
    DiskFullError,
    ErasedUserError,
    FieldError,
    Kept,
    MemoryLimitError,
    NewPeopleError,
    NewPeopleShareError,
    OutcomeUnknownError,
    PulsebaseError,
    QueryCancelledError,
    QueryTimeoutError,
    ReadOnlyStoreError,
    RejectedError,
    RetryLaterError,
    ShareFullError,
    StopError,
    StoreCorruptError,
    TooManyNewPeopleError,
    TooManyQuestionsError,
    TooManyRowsError,
    UnknownUserError,
    shown_name,
)

logger = logging.getLogger(__name__)

#: Every problem type: its slug in `type`, and what it means. `docs/reference/errors.md` is checked against this table.
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "invalid-request": (400, "Something in the request is wrong; `errors` names the fields."),
    "malformed-body": (400, "The body cannot be read at all: not JSON, not gzip, cut short."),
    "nothing-accepted": (400, "Every reading of a batch was refused; `errors` says why."),
    "too-many-rows": (400, "The answer would be longer than the row limit."),
    "unauthorized": (401, "A key is needed, or the key is not one that opens anything."),
    "missing-scope": (403, "The key is not for what this route does."),
    "forbidden-host": (403, "The request's Host or Origin is not one the server answers to."),
    "not-found": (404, "No such route, or nobody of that id is known, or nothing was found."),
    "method-not-allowed": (405, "The route does not know this method."),
    "not-acceptable": (406, "The route cannot answer in any of the media types of Accept."),
    "already-known": (409, "Somebody of that id is known already."),
    "conflict": (409, "What is asked for cannot be done as things stand; `detail` says what has to end first."),
    "erased": (409, "Somebody of that id was erased; nothing is taken for them until the id is allowed again."),
    "body-too-large": (
        413,
        "The body is larger than the limit, as sent or as unpacked, or brings too many new people.",
    ),
    "body-too-costly": (413, "The body takes more of the processor to read than its size, as sent, allows."),
    "unsupported-media-type": (415, "The body's type or encoding is not one the route reads."),
    "too-many-requests": (429, "More than the key or the address may send, ask or hold at once; see Retry-After."),
    "query-timeout": (422, "The query ran into the time limit and was cancelled."),
    "internal-error": (500, "A fault of the server; the log has it under the request id."),
    "disk-full": (503, "A disk of the server has no room; `detail` says what was kept of the request, if anything."),
    "disk-failed": (503, "A disk of the server does not read or write; `detail` says what was kept of the request."),
    "read-only": (503, "What would be written to may only be read; `detail` says what was kept of the request."),
    "out-of-memory": (503, "The store's engine ran out of memory; `detail` says what was kept of the request."),
    "store-damaged": (503, "Stored bytes are not what was written; `detail` names the file. Waiting does not help."),
    "unavailable": (503, "The request may succeed later, see Retry-After; `detail` says what was kept of it."),
    "outcome-unknown": (503, "Whether the request was carried out is not known; the same may be sent again."),
}


#: What a client is told when a person has to act. Only commands of the owner are told more.
NEEDS_ITS_OPERATOR = "the store needs its operator"
_RETRY_AFTER_REPAIR_S = 60


class ProblemError(Exception):
    """An error that only the border knows, by its slug in `PROBLEMS`."""

    def __init__(self, slug: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.extra = extra


def problem(
    request: Request, slug: str, detail: str, headers: Mapping[str, str] | None = None, **extra: Any
) -> Response:
    """Return the error answer for this slug; to a browser, a page that says the same."""
    status = PROBLEMS[slug][0]
    if wants_page(request.scope):
        return _as_page(request, status, detail, headers, extra.get("errors", ()))
    body = {
        "type": f"urn:pulsebase:problem:{slug}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request.scope.get("pulsebase.request_id", ""),
    }
    body |= extra | influx_members(request.scope["path"], status, detail)
    return Response(msgspec.json.encode(body), status, headers, media_type="application/problem+json")


def _as_page(
    request: Request,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None,
    errors: Sequence[Mapping[str, str | int]],
) -> Response:
    said = [f"{each['field']}: {each['reason']}" for each in errors if "index" not in each]
    said = said or [f"{detail[:1].upper()}{detail[1:]}."]
    request_id = request.scope.get("pulsebase.request_id", "")
    return HTMLResponse(problem_page(status, HTTPStatus(status).phrase, said, request_id), status, headers)


def field_errors(errors: Sequence[FieldError]) -> list[dict[str, str | int]]:
    """Return field errors as answers show them, with the index only where there is one."""
    return [
        ({} if error.index is None else {"index": error.index}) | {"field": error.field, "reason": error.reason}
        for error in errors
    ]


def partly_done(error: RetryLaterError | StopError | TooManyNewPeopleError, done: str) -> PulsebaseError:
    """Return the error with a statement of what was done of the request all the same."""
    if isinstance(error, TooManyNewPeopleError):
        return error.but(done)
    if isinstance(error, StoreCorruptError):
        return error.but(done)
    if isinstance(error, StopError):
        logger.error("the store needs a person: %s", error)
        return RetryLaterError(NEEDS_ITS_OPERATOR, _RETRY_AFTER_REPAIR_S).but(done)
    said = str(error).split(f"; {_NOTHING}")[0]
    return type(error)(said, error.retry_after_s).but(done)


def install(app: FastAPI) -> None:
    """Turn every error of the lower layers and of the framework into a problem. Unexpected exceptions are left to the
    middleware.
    """

    async def on_error(request: Request, error: Exception) -> Response:
        return _answer(request, error)

    for kind in _ANSWERS:
        app.add_exception_handler(kind, on_error)


async def answered(request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return a handler's answer, or the problem for the error it raised, without the framework."""
    try:
        return await handler(request)
    except tuple(_ANSWERS) as error:
        return _answer(request, error)


def _answer(request: Request, error: Exception) -> Response:
    kind = next(kind for kind in type(error).__mro__ if kind in _ANSWERS)
    return _ANSWERS[kind](request, error)


def _of_problem(request: Request, error: Any) -> Response:
    return problem(request, error.slug, error.detail, **error.extra)


def _of_rejected(request: Request, error: Any) -> Response:
    slug = "too-many-rows" if isinstance(error, TooManyRowsError) else "invalid-request"
    shown = error.errors if came_by_socket(request.scope) else error.errors[:MOST_NAMED]
    return problem(request, slug, str(error), errors=field_errors(shown))


def _of_erased(request: Request, error: Any) -> Response:
    detail = "somebody of that id was erased; an administrator can allow the id again"
    return problem(request, "erased", detail, errors=field_errors(error.errors))


def _of_retry(request: Request, error: Any) -> Response:
    detail = _with_what_was_kept(request, str(error), error.kept)
    return problem(request, _slug_of(error), detail, {"Retry-After": str(error.retry_after_s)})


def _slug_of(error: PulsebaseError) -> str:
    return next((slug for kind, slug in _REASONS_TO_WAIT.items() if isinstance(error, kind)), "unavailable")


def _with_what_was_kept(request: Request, detail: str, kept: Kept) -> str:
    """Add to the detail what was kept of the request, if the request was to change something."""
    if request.method in _ASKING or kept == "as said" or _NOTHING in detail:
        return detail
    if kept == "nothing":
        return f"{detail}; {_NOTHING} was kept"
    return f"{detail}; it is not known whether the request was carried out: look before you send it again"


def _of_damage(request: Request, error: Any) -> Response:
    """Answer that a file is damaged. Everybody is told its name, only the owner its path."""
    logger.error("the store is damaged: %s", error)
    file = error.file or "the database"
    detail = str(error)
    if not came_by_socket(request.scope):
        detail = "; ".join(filter(None, [f"{file} is damaged; its operator has to restore a backup", error.said]))
    detail = _with_what_was_kept(request, detail, "as said" if error.said else "nothing")
    return problem(request, "store-damaged", detail, {"Retry-After": str(_DAMAGED_PAUSE_S)}, file=file)


def _of_raw(request: Request, error: Any) -> Response:
    """Answer a disk error that no lower layer has translated, so that the outcome of the request is unknown."""
    what = "a file of the server"
    if isinstance(error, sqlite3.Error):
        ours: PulsebaseError | None = meaning_of_sqlite(error, Path("a file beside the store"), "unknown")
    else:
        ours = meaning_of(error, what, "unknown")
    if ours is None:
        raise error
    logger.error("a disk fails: %s", error)
    return _answer(request, ours)


def _of_too_many_questions(request: Request, error: Any) -> Response:
    return problem(request, "too-many-requests", str(error), {"Retry-After": str(error.retry_after_s)})


def _of_unknown_outcome(request: Request, error: Any) -> Response:
    logger.error("the outcome of a request is not known: %s", error)
    return problem(request, "outcome-unknown", str(error), {"Retry-After": str(error.retry_after_s)})


def _of_share(request: Request, error: Any) -> Response:
    return problem(request, "too-many-requests", str(error), {"Retry-After": str(error.retry_after_s)})


def _of_new_people(request: Request, error: Any) -> Response:
    slug = "too-many-requests" if isinstance(error, ShareFullError) else "unavailable"
    detail = _with_what_was_kept(request, str(error), error.kept)
    return problem(request, slug, detail, {"Retry-After": str(error.retry_after_s)}, errors=new_people_errors(error))


def _of_too_many_new_people(request: Request, error: Any) -> Response:
    return problem(request, "body-too-large", str(error), errors=new_people_errors(error))


def new_people_errors(error: NewPeopleError | TooManyNewPeopleError) -> list[dict[str, str | int]]:
    """Return the field error for a request that brings too many new people."""
    return field_errors([FieldError(error.FIELD, str(error).removeprefix(f"{error.FIELD}: "))])


def _of_stop(request: Request, error: Any) -> Response:
    logger.error("the store needs a person: %s", error)
    detail = str(error) if came_by_socket(request.scope) else NEEDS_ITS_OPERATOR
    cause = error.__cause__
    ours = meaning_of(cause, "") if isinstance(cause, OSError) else None
    slug = "unavailable" if ours is None else _slug_of(ours)
    return problem(request, slug, detail, {"Retry-After": str(_RETRY_AFTER_REPAIR_S)})


def _of_unknown_user(request: Request, _: Any) -> Response:
    return problem(request, "not-found", "nobody of that id is known")


def _of_timeout(request: Request, error: Any) -> Response:
    return problem(request, "query-timeout", str(error))


def _of_validation(request: Request, error: Any) -> Response:
    return _of_rejected(request, RejectedError([field_error_of(entry) for entry in error.errors()]))


def _of_http(request: Request, error: Any) -> Response:
    slug = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "invalid-request")
    detail = "there is no such route" if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"Allow": ", ".join(sorted(_allowed(request)))}
    return problem(request, slug, detail, headers)


def _allowed(request: Request) -> set[str]:
    """Return the methods that a request's path supports: those of all its routes, and HEAD wherever there is GET."""
    scope = request.scope
    plain = {"type": "http", "path": scope["path"], "root_path": scope.get("app_root_path", ""), "headers": []}
    found = set()
    for route in request.app.routes:
        for method in _METHODS:
            if route.matches(plain | {"method": method})[0] is Match.FULL:
                found |= {"GET"} if isinstance(route, Mount) else {method}  # only static files are mounted
    return found | {"HEAD"} if "GET" in found else found


_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
#: Reasons to retry later that have a problem type of their own.
_REASONS_TO_WAIT: Mapping[type[RetryLaterError], str] = {
    DiskFullError: "disk-full",
    DiskFailedError: "disk-failed",
    ReadOnlyStoreError: "read-only",
    MemoryLimitError: "out-of-memory",
}
_ASKING = frozenset({"GET", "HEAD", "OPTIONS"})
_NOTHING = "nothing of this request"
_DAMAGED_PAUSE_S = 600

_ANSWERS: Mapping[type[Any], Callable[[Request, Any], Response]] = {
    ProblemError: _of_problem,
    RejectedError: _of_rejected,
    ErasedUserError: _of_erased,
    RetryLaterError: _of_retry,
    TooManyQuestionsError: _of_too_many_questions,
    OutcomeUnknownError: _of_unknown_outcome,
    ShareFullError: _of_share,
    NewPeopleError: _of_new_people,
    NewPeopleShareError: _of_new_people,  # listed, since it is a `ShareFullError` too
    TooManyNewPeopleError: _of_too_many_new_people,
    StopError: _of_stop,
    StoreCorruptError: _of_damage,
    OSError: _of_raw,
    sqlite3.Error: _of_raw,
    UnknownUserError: _of_unknown_user,
    QueryTimeoutError: _of_timeout,
    QueryCancelledError: _of_timeout,  # the client is gone and reads none of it, unless the server itself gave up
    RequestValidationError: _of_validation,
    HTTPException: _of_http,
}


_REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not a known parameter",
    "too_long": "takes at most {max_length} of them",
}


def field_error_of(entry: Mapping[str, Any]) -> FieldError:
    """Return what pydantic found wrong, in our words. `entry` is one of `ValidationError.errors`."""
    name = shown_name(str(entry["loc"][:2][-1]))  # the name follows "query" or "path", if that is there
    reason = _REASONS.get(entry["type"], "").format_map(entry.get("ctx", {}))
    reason = reason or str(entry["msg"]).removeprefix("Value error, ")
    return FieldError(name, reason[:1].lower() + reason[1:])
