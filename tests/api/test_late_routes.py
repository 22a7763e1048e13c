"""Routes are worked out once, whoever asks first."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from pulsebase.api.border.late_routes import LateRoute, include

_THREADS = 4


@pytest.fixture
def impatient() -> Any:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def a_route() -> Any:
    router = APIRouter(route_class=LateRoute)

    @router.get("/readings/{number}")
    async def reading(number: int, unit: str | None = None) -> dict[str, Any]:
        return {"number": number, "unit": unit}

    app = FastAPI()
    include(app, router, prefix="/v1")
    return app.router.routes[-1]


@pytest.mark.usefixtures("impatient")
def test_several_threads_may_be_the_first_to_ask() -> None:
    """As the document of all routes is made in one while a request comes to a route in another."""

    def ask(route: Any, together: Barrier) -> str:
        together.wait()
        return str(route.dependant.path_params[0].name)

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in range(100):
            route, together = a_route(), Barrier(_THREADS)
            asked = [threads.submit(ask, route, together) for _ in range(_THREADS)]
            assert [each.result() for each in asked] == ["number"] * _THREADS
    with pytest.raises(AttributeError):
        _ = route.nothing_of_the_kind
