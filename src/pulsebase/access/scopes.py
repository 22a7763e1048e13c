"""The scope that each route requires. A route missing here answers the owner alone, and a test fails for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from pulsebase.access.keys import SCOPES, Principal, Scope

#: `open`: anybody may ask, without a key. `key`: any key will do. `owner`: only requests over the owner's socket. Of
#: two scopes either will do; the route looks then what is asked of it.
Need = Scope | Literal["open", "key", "owner", "ingest or read"]

#: By method and path template; a route counts once, with and without `/v1`.
NEEDS: Mapping[str, Need] = {
    "GET /": "open",
    "GET /health": "open",
    "GET /ping": "open",
    "GET /docs": "open",
    "GET /redoc": "open",
    "GET /openapi.json": "open",
    "GET /app": "open",
    "GET /app/": "open",
    # A person's browser has no key. It shows a ticket that somebody with a key made, and later the cookie it was given.
    "GET /sources/{source}/consent": "open",
    "POST /sources/{source}/consent": "open",
    "GET /sources/{source}/callback": "open",
    # What a key may do, and what the server can connect, which the page asks before it offers anything.
    "GET /access": "key",
    "GET /sources": "key",
    "GET /metrics": "metrics",
    "POST /metrics/heart-rate": "ingest",
    "POST /metrics/heart-rate/batch": "ingest",
    "POST /metrics/heart-rate/bulk": "ingest",
    "POST /metrics/{metric}": "ingest",
    "POST /metrics/{metric}/batch": "ingest",
    "POST /metrics/{metric}/bulk": "ingest",
    "POST /readings": "ingest",
    "POST /readings/batch": "ingest",
    "POST /readings/bulk": "ingest",
    "POST /api/v2/write": "ingest",
    "POST /write": "ingest",
    "POST /push/health-auto-export": "ingest",
    "POST /push/health-connect": "ingest",
    "GET /query": "ingest or read",
    "POST /query": "ingest or read",
    "POST /imports": "ingest",
    "GET /sources/{source}/authorize": "ingest",
    "POST /sources/{source}/authorize": "ingest",
    "DELETE /users/{user_id}/sources/{source}": "ingest",
    "POST /users/{user_id}/annotations": "ingest",
    "PUT /users/{user_id}/annotations/{annotation_id}": "ingest",
    "DELETE /users/{user_id}/annotations/{annotation_id}": "ingest",
    "GET /metrics/heart-rate": "read",
    "GET /metrics/{metric}": "read",
    "GET /users/{user_id}/metrics": "read",
    "GET /timeseries": "read",
    "GET /multi-user/timeseries": "read",
    "GET /stream": "read",
    "GET /cohorts/heart-rate": "aggregate",  # `read` includes this scope, and gets another answer
    "GET /cohorts/{metric}": "aggregate",
    "GET /users": "read",
    "GET /users/{user_id}": "read",
    "GET /users/{user_id}/heart-rate/top-hours": "read",
    "GET /users/{user_id}/{metric}/top-hours": "read",
    "GET /users/{user_id}/hrv": "read",
    "GET /users/{user_id}/resting-heart-rate": "read",
    "GET /users/{user_id}/devices": "read",
    "GET /users/{user_id}/origins": "read",
    "GET /users/{user_id}/annotations": "read",
    "GET /users/{user_id}/export": "read",
    "GET /users/{user_id}/sources": "read",
    "GET /etl/runs": "read",
    "GET /imports": "read",
    "GET /imports/{import_id}": "read",
    "DELETE /metrics/heart-rate": "admin",
    "DELETE /metrics/{metric}": "admin",
    "POST /users": "admin",
    "PUT /users/{user_id}": "admin",
    "PATCH /users/{user_id}": "admin",
    "DELETE /users/{user_id}": "admin",
    "POST /users/{user_id}/allow": "admin",
    "GET /erasures": "admin",
    "GET /erasures/{erasure_id}": "admin",
    "PUT /users/{user_id}/devices/{device_id}/priority": "admin",
    "DELETE /users/{user_id}/devices/{device_id}/priority": "admin",
    "DELETE /imports/{import_id}": "admin",
    "GET /audit": "admin",
    "POST /keys": "admin",
    "POST /webhooks": "admin",
    "POST /signals": "admin",
    "DELETE /signals/{signal_id}": "admin",
    "GET /signals": "read",
    "GET /signals/{signal_id}": "read",
    "GET /signals/stream": "read",
    "GET /webhooks": "admin",
    "GET /webhooks/{webhook_id}": "admin",
    "DELETE /webhooks/{webhook_id}": "admin",
    "GET /webhooks/{webhook_id}/deliveries": "admin",
    "POST /webhooks/{webhook_id}/deliveries/retry": "admin",
    "POST /admin/check": "owner",
    "POST /admin/backup": "owner",
    "POST /admin/retention": "owner",
    "POST /admin/sql": "owner",
    "POST /admin/readings": "owner",
    "POST /admin/imports/{import_id}/finished": "owner",
    "POST /admin/users": "owner",
    "POST /admin/settle": "owner",
    "POST /admin/summaries": "owner",
    "GET /admin/export": "owner",
    "GET /admin/records": "owner",
    "POST /admin/records": "owner",
    "GET /admin/sources": "owner",
    "POST /admin/sources/{source}/authorize": "owner",
    "POST /admin/sources/{source}/callback": "owner",
    "POST /admin/etl/runs": "owner",
}


def need_of(method: str, template: str) -> Need | None:
    """Return the scope that a route requires, by its template; None for a route that is not in the table."""
    return _NEEDS.get((method, template))


def is_met(need: Need, principal: Principal) -> bool:
    """Whether a principal has a scope that a route requires, which is neither open nor the owner's."""
    return any(principal.holds(scope) for scope in SCOPES if scope in need.split(" or "))


def is_open(path: str) -> bool:
    """Whether this path may be asked for without a key. Decided by the path alone, before the route is known."""
    return path.startswith("/app/") or _OPEN.fullmatch(_unversioned(path)) is not None


def is_owners(path: str) -> bool:
    """Whether a path is the owner's alone."""
    return path.startswith("/v1/admin/")


def _unversioned(path: str) -> str:
    return path.removeprefix("/v1") if path.startswith("/v1/") else path


_ROUTES = {tuple(name.split(" ")): need for name, need in NEEDS.items()}
_NEEDS = {
    (same, place): need
    for (method, template), need in _ROUTES.items()
    for same in ((method, "HEAD") if method == "GET" else (method,))
    for place in (template, f"/v1{template}")
}
#: At the root this path is Prometheus's, under `/v1` the list of what can be stored, which tells nothing of anybody.
_NEEDS |= {(method, "/v1/metrics"): "open" for method in ("GET", "HEAD")}
_TEMPLATES = (name.split(" ")[1] for name, need in NEEDS.items() if need == "open")
_OPEN = re.compile("|".join(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)) for template in _TEMPLATES))
