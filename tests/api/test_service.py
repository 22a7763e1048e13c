"""What the server says of itself."""

from zoneinfo import ZoneInfo

import pytest

from pulsebase import __version__
from pulsebase.etl.schedule import EverySchedule
from pulsebase.etl.scheduler import Scheduler
from pulsebase.etl.state import Connection
from tests.api.conftest import Api
from tests.support.process import wait_until


def test_the_server_introduces_itself(api: Api) -> None:
    body = api.get("/").json()
    assert (body["name"], body["version"]) == ("Pulsebase", __version__)
    for link in ("documentation", "openapi", "health"):
        assert api.get(body["links"][link]).status_code == 200


#: As browsers ask for an address.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def test_a_browser_is_led_to_the_page_and_told_of_addresses_there_are_not(api: Api) -> None:
    led = api.get("/", headers=BROWSER, follow_redirects=False)
    assert (led.status_code, led.headers["location"], led.headers["vary"]) == (307, "/app/", "Accept")
    for path in ("/nowhere", "/v1/nowhere", "/app/nowhere", "/v1/admin/check", "/v1/users/%3Cb%3E"):
        shown, told = api.get(path, headers=BROWSER), api.get(path)
        assert shown.status_code == told.status_code
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert '<a href="/app/">' in shown.text
        assert ("<h1>There is no such page</h1>" in shown.text) == (path != "/v1/users/%3Cb%3E")
        assert "<b>" not in shown.text
        assert told.headers["content-type"] == "application/problem+json"


def test_a_healthy_server_says_so(any_api: Api) -> None:
    answer = any_api.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "service": "heart-rate-metrics",
        "checks": {"store": "ok", "ingest": "ok"},
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_schedule_that_nobody_keeps_any_more_is_said(api: Api) -> None:
    class Fatal(EverySchedule):
        def next_us(self, after_us: int, zone: ZoneInfo) -> int:
            raise SystemExit  # the one way out of the thread

    sync = api.parts.services.sync
    with Scheduler(sync, EverySchedule(3_600)):
        assert api.get("/health").json()["checks"] == {"store": "ok", "ingest": "ok", "schedule": "ok"}
    assert "schedule" not in api.get("/health").json()["checks"]
    sync.state.connect("ann", "fitbit", None, 1)
    sync.state.update(Connection("ann", "fitbit", None, 1, succeeded_us=2))
    with Scheduler(sync, Fatal(3_600)):
        wait_until(lambda: api.get("/health").status_code == 503, "unhealthy")
        body = api.get("/health").json()
    assert (body["status"], body["checks"]) == ("unhealthy", {"store": "ok", "ingest": "ok", "schedule": "stopped"})


def test_the_documents_are_there(api: Api) -> None:
    for path in ("/docs", "/redoc"):
        answer = api.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_the_document_shows_each_route_once_under_v1(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    shown = {path: sorted(operations) for path, operations in paths.items()}
    expected = {
        "/": ["get"],
        "/health": ["get"],
        "/metrics": ["get"],
        "/v1/metrics/heart-rate": ["delete", "get", "post"],
        "/v1/metrics/heart-rate/batch": ["post"],
        "/v1/timeseries": ["get"],
        "/v1/multi-user/timeseries": ["get"],
        "/v1/users": ["get", "post"],
        "/v1/users/{user_id}": ["delete", "get", "patch", "put"],
        "/v1/users/{user_id}/devices": ["get"],
        "/v1/users/{user_id}/origins": ["get"],
        "/v1/users/{user_id}/devices/{device_id}/priority": ["delete", "put"],
    }
    assert shown | expected == shown
    at_root = {"/", "/health", "/metrics", "/ping", "/write", "/query"}
    assert all(path.startswith(("/v1/", "/api/v2/")) for path in shown.keys() - at_root)
