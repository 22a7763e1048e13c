"""People, and what the server says of itself."""

import pytest

from pulsebase import __version__
from pulsebase.model.users import User
from tests.api.conftest import Api, reading


@pytest.mark.parametrize("prefix", ["/v1", ""], ids=["v1", "root"])
def test_people_are_listed_with_what_is_stored_of_them(any_api: Api, prefix: str) -> None:
    assert any_api.get(f"{prefix}/users").json() == {"data": [], "next_cursor": None}
    any_api.store(reading(), reading("2024-01-15T10:00:01.5Z", confidence=0), reading(user_id="Zoe"))
    any_api.parts.store.put_user(User("bob", "Robert"))
    assert any_api.get(f"{prefix}/users").json() == {
        "data": [
            {
                "user_id": "Zoe",
                "name": None,
                "readings": 1,
                "first_reading": "2024-01-15T10:00:00Z",
                "last_reading": "2024-01-15T10:00:00Z",
            },
            {
                "user_id": "ann",
                "name": None,
                "readings": 2,
                "first_reading": "2024-01-15T10:00:00Z",
                "last_reading": "2024-01-15T10:00:01.5Z",
            },
            {"user_id": "bob", "name": "Robert", "readings": 0, "first_reading": None, "last_reading": None},
        ],
        "next_cursor": None,
    }


def test_people_come_in_pages_and_can_be_searched(any_api: Api) -> None:
    any_api.store(*[reading(user_id=f"{name}{place}") for name in ("Ann", "bob") for place in range(3)])
    found: list[str] = []
    url = "/v1/users?limit=2"
    while True:
        page = any_api.get(url).json()
        found += [entry["user_id"] for entry in page["data"]]
        if page["next_cursor"] is None:
            break
        url = f"/v1/users?limit=2&cursor={page['next_cursor']}"
    assert found == ["Ann0", "Ann1", "Ann2", "bob0", "bob1", "bob2"]
    for query, count in (("aNN", 3), ("0", 2), ("%", 0), ("_", 0), ("'", 0), ("\x00", 0), ("😀", 0), ("", 6)):
        assert len(any_api.get("/v1/users", params={"query": query}).json()["data"]) == count


def test_the_server_introduces_itself(api: Api) -> None:
    body = api.get("/").json()
    assert (body["name"], body["version"]) == ("Pulsebase", __version__)
    for link in ("documentation", "openapi", "health"):
        assert api.get(body["links"][link]).status_code == 200


def test_a_healthy_server_says_so(any_api: Api) -> None:
    answer = any_api.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "service": "heart-rate-metrics",
        "checks": {"store": "ok", "ingest": "ok"},
    }


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
        "/v1/users": ["get"],
    }
    assert shown | expected == shown
    assert all(path.startswith(("/v1/", "/api/v2/")) for path in shown.keys() - {"/", "/health", "/metrics"})
