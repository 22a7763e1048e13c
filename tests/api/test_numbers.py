"""Numbers as large as anybody may write them: every parameter of every route, as the OpenAPI document lists them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.conftest import Api, reading
from tests.api.operations import ending_operations

WHOLE = ["2147483648", "9223372036854775808", "18446744073709551616", "-1", "-9223372036854775809", "1" + "0" * 5000]
NUMBERS = [*WHOLE, "NaN", "1e400", "0x10", "words", "١٢", ""]
#: What a route needs to get as far as the parameter in question.
USUAL: Mapping[str, str] = {
    "user_id": "ann",
    "device_id": "device_a",
    "source": "google_health",
    "start_date": "2024-01-15",
    "end_date": "2024-01-15",
    "format": "ndjson",
    "code": "code",
    "state": "state",
    "ticket": "ticket",
    "name": "readings.csv",
}


def operations(api: Api) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Method, template and parameters of every route whose answer ends."""
    for method, path, operation in ending_operations(api.get("/openapi.json").json()):
        yield method, path, operation.get("parameters", [])


def test_no_number_in_a_parameter_is_a_fault(any_api: Api) -> None:
    """Whatever the store; what is no whole number never gets as far as one, and is tried before the quickest."""
    any_api.store(reading())
    asked = 0
    numbers = NUMBERS if any_api.parts.settings.store_url == "memory://" else WHOLE
    for method, template, parameters in operations(any_api):
        for parameter, number in itertools.product(parameters, numbers):
            if parameter["in"] not in ("path", "query") or (not number and parameter["in"] == "path"):
                continue
            values = {each["name"]: USUAL.get(each["name"], "1") for each in parameters if each.get("required")}
            values[parameter["name"]] = number
            path = template
            for each in parameters:
                if each["in"] == "path":
                    path = path.replace(f"{{{each['name']}}}", quote(values.pop(each["name"]), safe=""))
            answer = any_api.request(method, path, params=values, follow_redirects=False)
            assert answer.status_code != 500, (method, template, parameter["name"], number[:20], answer.text)
            asked += 1
    assert asked > 40 * len(numbers)


HEADERS = ["Last-Event-ID", "If-None-Match", "If-Modified-Since", "Range", "Accept", "Accept-Encoding", "Content-Type"]
HEADERS += ["Content-Encoding", "X-Forwarded-For", "Cookie", "Origin", "Sec-Fetch-Site", "Traceparent", "Authorization"]
HEADERS += ["X-Request-ID", "If-Range"]
#: How a number stands in those that say more.
FORMS = {"Range": "bytes={}-", "If-Range": "bytes={}-", "Accept": "text/csv;q={}", "Content-Type": "text/csv;q={}"}
FORMS |= {"Accept-Encoding": "gzip;q={}", "Content-Encoding": "gzip;q={}", "Traceparent": "00-{}-1-1"}


@pytest.mark.parametrize("header", HEADERS)
def test_no_number_in_a_header_is_a_fault(api: Api, header: str) -> None:
    api.store(reading())
    paths = [
        "/v1/users",
        "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15",
        "/app/",
        "/openapi.json",
        "/health",
        "/metrics",
    ]
    for path, number in itertools.product(paths, NUMBERS):
        for value in {number, FORMS.get(header, "{}").format(number)}:
            answer = api.get(path, headers={header.encode(): value.encode()})
            assert answer.status_code < 500, (path, header, value[:40], answer.text)
    for number in NUMBERS:
        answer = api.post("/v1/metrics/heart-rate", json=reading(), headers={header.encode(): number.encode()})
        assert answer.status_code < 500, (header, number[:20], answer.text)


def test_a_place_in_the_stream_that_no_server_gave_is_begun_anew(api: Api) -> None:
    streams = api.parts.app.state.streams
    instance = streams.commit_log.instance
    for place in NUMBERS:
        assert streams.resumed(f"{instance}-{place}", {"ann"}) is None, place[:20]


def bodies(api: Api) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Method, path, a body and the name in it of every number that bodies hold."""
    document = api.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for method, template, parameters in operations(api):
        content = document["paths"][template][method.lower()].get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
        properties = schemas.get(reference.rpartition("/")[2], {}).get("properties", {})
        path = template
        for each in parameters:
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", USUAL.get(each["name"], "1"))
        for name in properties:
            yield method, path, {each: USUAL[each] for each in properties if each in USUAL}, name


def test_no_number_in_a_body_is_a_fault(api: Api) -> None:
    api.store(reading())
    asked = 0
    for method, path, body, name in bodies(api):
        for number in (*(number for number in NUMBERS if number.lstrip("-").isdecimal() and number.isascii()), "1e400"):
            filled = ", ".join(f'"{each}": "{value}"' for each, value in body.items() if each != name)
            text = f'{{"{name}": {number}{", " if filled else ""}{filled}}}'
            answer = api.request(method, path, content=text, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (method, path, name, number[:20], answer.text)
            asked += 1
    assert asked > 50
