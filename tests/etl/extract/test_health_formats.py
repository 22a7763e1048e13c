"""FHIR and Open mHealth: what we write is valid by the published schemas and comes back as it was; what others write is
read, converted or refused by name.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from fhir.resources.bundle import Bundle
from fhir.resources.observation import Observation
from hypothesis import given
from hypothesis import strategies as st
from omh_shim._validate import validate_output

from pulsebase.etl.extract import health_formats
from pulsebase.etl.extract.health_formats import fhir as read_fhir
from pulsebase.etl.extract.health_formats import open_mhealth as read_omh
from pulsebase.etl.extract.kinds import kind_of_file
from pulsebase.etl.extract.parts import FileOwner, Stream, everybody_in
from pulsebase.ingest.blocks import Block
from pulsebase.model.health_codes import METRIC_OF_CODE, METRIC_OF_SCHEMA, OUR_CODES, codes_of
from pulsebase.model.metrics import METRICS
from pulsebase.model.readings import ReadingBatch
from pulsebase.query import fhir, open_mhealth
from pulsebase.query.runs import RUN_READINGS, Run, RunGatherer
from tests.etl.desk import Desk
from tests.support.health_files import zipped

NOBODY = FileOwner(None, None, everybody_in(ZoneInfo("UTC")))
#: (metric, person, device, microseconds since 1970, value in stored units, confidence)
Row = tuple[str, str, str, int, int, int | None]
#: 2024-03-31, when clocks in Europe went forward.
DST_DAY_US = 1_711_843_200_000_000
LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"


def runs_of(rows: list[Row], *, batch_rows: int = 1_000_000) -> list[Run]:
    """The runs of an export of these readings, which come in batches of so many rows."""
    gatherer, runs = RunGatherer(), list[Run]()
    ordered = sorted(rows, key=lambda row: (row[3] // 86_400_000_000, row[1], row[0], row[2], row[3]))
    for _, of_day in itertools.groupby(ordered, key=lambda row: row[3] // 86_400_000_000):
        for (metric, _), of_metric in itertools.groupby(of_day, key=lambda row: (row[0], row[1])):
            _, users, devices, times, values, confidences = zip(*of_metric, strict=True)
            batch = ReadingBatch.of_columns(users, devices, times, values, confidences, 1, metric)
            for each in batch.table.to_batches(max_chunksize=batch_rows):
                runs += gatherer.add(each)
    return [*runs, *gatherer.rest()]


def rows_in(data: bytes, read: Callable[[Stream, FileOwner], Any], owner: FileOwner = NOBODY) -> list[Row]:
    """The readings that a reader finds in a file in which nothing is wrong."""
    rows: list[Row] = []
    for part in read(io.BytesIO(data), owner):
        assert isinstance(part, Block), part
        assert part.errors == []
        found = part.candidates
        stored = np.rint(found.values * METRICS[found.metric].scale).astype(int).tolist()
        assert (found.values == np.array(stored) / METRICS[found.metric].scale).all()
        confidences = [None if each < 0 else each for each in found.confidences.tolist()]
        columns = found.user_ids, found.device_ids, found.times_us.tolist(), stored, confidences
        rows += [(found.metric, *row) for row in zip(*columns, strict=True)]
    return sorted(rows, key=str)


def as_fhir(runs: list[Run]) -> bytes:
    return b"".join(fhir.ndjson(map(fhir.observation_of, runs)))


def as_omh(runs: list[Run]) -> bytes:
    return b"".join(line for run in runs for line in open_mhealth.points_of(run))


def require_valid_fhir(observation: dict[str, Any]) -> None:
    """Check what the schema says, and the invariants that it cannot say."""
    Observation.model_validate(observation)
    effective = [name for name in observation if name.startswith("effective")]
    assert len(effective) == 1
    for part in (observation, *observation.get("component", ())):
        sampled = part.get("valueSampledData")
        if sampled is not None:
            assert ("interval" in sampled) != ("offsets" in sampled), "sdd-1"
            assert len(sampled["offsets"].split(" ")) == len(sampled["data"].split(" "))
            assert max(len(sampled["offsets"]), len(sampled["data"])) < 1 << 20


def require_valid_omh(line: bytes) -> None:
    point = json.loads(line)
    validate_output(point["header"], "ieee:header:1.0")
    known = point["header"]["schema_id"]
    validate_output(point["body"], f"{known['namespace']}:{known['name']}:{known['version']}")


def some_of_every_metric() -> list[Row]:
    rows: list[Row] = []
    for metric, user, device in itertools.product(METRICS.values(), ("ann", "1:2@x.y+z"), ("strap", "A.b-c")):
        low = int(metric.low * metric.scale)
        for place in range(5):
            at_us = DST_DAY_US + place * 3_600_000_000 + place * 123_457 + len(device)
            confidence = (None, 0, 3)[place % 3] if device == "strap" else None
            rows.append((metric.name, user, device, at_us, low + place * 7, confidence))
        rows.append((metric.name, user, device, DST_DAY_US + 86_400_000_000, low, 2 if device == "strap" else None))
    return rows


def test_every_metric_goes_through_fhir_and_back_as_it_was() -> None:
    rows = some_of_every_metric()
    runs = runs_of(rows)
    for line in as_fhir(runs).splitlines():
        require_valid_fhir(json.loads(line))
    assert rows_in(as_fhir(runs), read_fhir) == sorted(rows, key=str)
    whole = b"".join(fhir.bundle(map(fhir.observation_of, runs)))
    Bundle.model_validate_json(whole)
    assert rows_in(whole, read_fhir) == sorted(rows, key=str)
    for data in (whole, as_fhir(runs)):
        kind = kind_of_file("any.txt", data[: 1 << 16])
        assert kind is not None
        assert kind.name == "FHIR Observations"


def test_metrics_with_a_schema_go_through_open_mhealth_and_back() -> None:
    rows = [row for row in some_of_every_metric() if row[0] in {spec.name for spec in METRIC_OF_SCHEMA.values()}]
    data = as_omh(runs_of(rows))
    for line in data.splitlines():
        require_valid_omh(line)
    assert rows_in(data, read_omh) == sorted(rows, key=str)
    assert rows_in(b"[" + data.strip().replace(b"\n", b",") + b"]", read_omh) == sorted(rows, key=str)
    kind = kind_of_file("any.txt", data[: 1 << 16])
    assert kind is not None
    assert kind.name == "Open mHealth"
    without = set(METRICS) - {row[0] for row in rows}
    assert without == {"hrv_rmssd", "hrv_sdnn", "skin_temperature", "skin_temperature_delta"}
    with pytest.raises(LookupError, match="hrv_rmssd"):
        as_omh(runs_of([("hrv_rmssd", "ann", "watch", DST_DAY_US, 100, None)]))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["heart_rate", "rr_interval", "skin_temperature_delta"]),
            st.sampled_from(["ann", "ben"]),
            st.sampled_from(["a", "b"]),
            st.integers(DST_DAY_US - 10_000_000, DST_DAY_US + 10_000_000),
            st.integers(-32_767, 32_767),
            st.sampled_from([None, 0, 1, 2, 3]),
        ),
        max_size=20,
        unique_by=lambda row: row[:4],
    ),
    st.integers(1, 5),
)
def test_any_readings_come_back_wherever_batches_end(rows: list[Row], batch_rows: int) -> None:
    runs = runs_of(rows, batch_rows=batch_rows)
    assert rows_in(as_fhir(runs), read_fhir) == sorted(rows, key=str)
    assert as_fhir(runs) == as_fhir(runs_of(rows))
    of_heart_rate = [row for row in rows if row[0] == "heart_rate"]
    assert rows_in(as_omh(runs_of(of_heart_rate)), read_omh) == sorted(of_heart_rate, key=str)


def test_a_dense_day_is_several_observations_within_what_fhir_allows_a_text() -> None:
    times = DST_DAY_US + np.arange(25_001) * 3_400_789
    rows: list[Row] = [("heart_rate", "ann", "strap", at_us, 12_345, 1) for at_us in times.tolist()]
    runs = runs_of(rows, batch_rows=7_000)
    assert [len(run) for run in runs] == [RUN_READINGS, RUN_READINGS, 5_001]
    for line in as_fhir(runs).splitlines():
        require_valid_fhir(json.loads(line))
    assert len({json.loads(line)["id"] for line in as_fhir(runs).splitlines()}) == 3


def test_every_metric_has_a_code_or_comes_under_ours_and_each_code_is_of_one() -> None:
    for metric in METRICS.values():
        assert METRIC_OF_CODE[OUR_CODES, metric.name] is metric
        assert codes_of(metric).ucum is not None
    written = [(each.system, each.code) for metric in METRICS.values() for each in codes_of(metric).codings]
    read = [each for metric in METRICS.values() for each in codes_of(metric).also_read]
    assert len({*written, *read}) == len(written) + len(read)
    without_code = {metric.name for metric in METRICS.values() if not codes_of(metric).codings}
    assert without_code == {"hrv_rmssd", "skin_temperature_delta"}


# --- what others write -----------------------------------------------------------------------------------------------


def observation(**more: Any) -> dict[str, Any]:
    """A heart rate as any system may send it."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "8867-4", "display": "Heart rate"}]},
        "subject": {"reference": "Patient/ann"},
        "effectiveDateTime": "2024-01-15T11:00:00+01:00",
        "valueQuantity": {"value": 63, "unit": "beats/minute", "system": UCUM, "code": "/min"},
    } | more


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def brought(desk: Desk, *resources: Any, owner: FileOwner = NOBODY) -> Any:
    data = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in resources)
    return desk.bring_one(data, owner=owner)


TEN_US = 1_705_312_800_000_000
#: 2024 in digits as wide as Chinese characters.
WIDE_YEAR = "\uff12\uff10\uff12\uff14"
QUANTITY = {"value": 0, "unit": "beats/minute", "system": UCUM, "code": "{beats}/min"}


def sampled(**more: Any) -> dict[str, Any]:
    return {"origin": QUANTITY, "dimensions": 1, "data": "60 E 62.5"} | more


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"interval": 2, "intervalUnit": "s"}, [0, 4]),
        ({"period": 500}, [0, 1]),
        ({"offsets": "0 1500 61000", "intervalUnit": "ms"}, [0, 61]),
        ({"offsets": "-60 0 0.25", "intervalUnit": "s"}, [-60, 0.25]),
    ],
)
def test_series_of_others_are_read_by_interval_period_and_offsets(
    desk: Desk, times: dict[str, Any], seconds: list[float]
) -> None:
    series = without(observation(valueSampledData=sampled(**times)), "valueQuantity", "effectiveDateTime")
    result = brought(desk, series | {"effectivePeriod": {"start": "2024-01-15T10:00:00Z"}})
    assert desk.readings == [
        ("heart_rate", "ann", "fhir", TEN_US + round(each * 1_000_000), value)
        for each, value in zip(seconds, (60, 62.5), strict=True)
    ]
    assert result.passed_over == {"samples without a value (E, U, L)": 1}


def test_origin_and_factor_count() -> None:
    data = sampled(origin=QUANTITY | {"value": 40}, factor=0.5, data="20 E 41", period=1000)
    series = without(observation(valueSampledData=data), "valueQuantity")
    parts = list(read_fhir(io.BytesIO(json.dumps(series).encode()), NOBODY))
    assert isinstance(parts[0], Block)
    assert parts[0].candidates.values.tolist() == [50, 60.5]


@pytest.mark.parametrize(
    ("code", "quantity", "reading"),
    [
        ("8867-4", (1.05, "Hz"), ("heart_rate", 63)),
        ("59408-5", (0.97, "1"), ("oxygen_saturation", 97)),
        ("2708-6", (97, "%"), ("oxygen_saturation", 97)),
        ("9279-1", (14, "{breaths}/min"), ("respiratory_rate", 14)),
        ("80404-7", (0.0415, "s"), ("hrv_sdnn", 41.5)),
        ("8637-1", (812, "ms"), ("rr_interval", 812)),
        ("8310-5", (98.6, "[degF]"), ("body_temperature", 37)),
        ("8310-5", (310.15, "K"), ("body_temperature", 37)),
        ("39106-0", (33.2, "Cel"), ("skin_temperature", 33.2)),
    ],
)
def test_codes_and_units_of_others_become_metrics(
    desk: Desk, code: str, quantity: tuple[float, str], reading: tuple[str, float]
) -> None:
    coding = {"coding": [{"system": "urn:local", "code": "x"}, {"system": LOINC, "code": code}]}
    brought(desk, observation(code=coding, valueQuantity={"value": quantity[0], "code": quantity[1], "system": UCUM}))
    assert desk.readings == [(reading[0], "ann", "fhir", TEN_US, reading[1])]


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"effectiveDateTime": "2024-01-15"}, "effectiveDateTime", "is a date without a time of day"),
        ({"effectiveDateTime": "2024-01-15T10:00:00"}, "effectiveDateTime", "no offset"),
        ({"effectiveDateTime": "2024-13-15T10:00:00Z"}, "effectiveDateTime", "not a time that exists"),
        ({"effectiveDateTime": None}, "effectiveDateTime", "is not a time"),
        ({"valueQuantity": {"value": 63}}, "valueQuantity", "has no unit"),
        ({"valueQuantity": {"value": 63, "unit": "kg"}}, "valueQuantity", "the unit kg, which is not read"),
        ({"valueQuantity": {"value": 63, "code": "/h"}}, "valueQuantity", "the unit /h, which is not read"),
        ({"valueQuantity": {"value": "many", "code": "/min"}}, "valueQuantity.value", "is not a number"),
        ({"valueQuantity": {"value": 10**400, "code": "/min"}}, "valueQuantity.value", "is not a number"),
        ({"valueQuantity": {"value": float("nan"), "code": "/min"}}, "valueQuantity.value", "is not a number"),
        ({"valueQuantity": {"value": 63, "code": "/min", "comparator": "<"}}, "valueQuantity.comparator", "a bound"),
        ({"valueQuantity": [63]}, "valueQuantity", "is no Quantity"),
        ({"subject": {}}, "subject", "--user"),
        ({"subject": {"reference": "#p1"}}, "subject", "contained"),
        ({"subject": {"reference": "Patient/a b"}}, "subject", "1–128 characters"),
        ({"subject": {"reference": "Patient/\ud800"}}, "subject", "1–128 characters"),
        ({"device": {"display": "x" * 2_000}}, "device", "1,000"),
        ({"valueQuantity": {"value": 1e308, "code": "Hz"}}, "heart_rate", "out of range"),
        ({"status": [], "valueQuantity": {"value": 500, "code": "/min"}}, "heart_rate", "out of range"),
        ({"modifierExtension": [{"url": "urn:x"}]}, "modifierExtension", "not understood"),
        ({"implicitRules": "urn:x"}, "implicitRules", "not understood"),
        ({"effectiveDateTime": WIDE_YEAR + "-01-15T10:00:00Z"}, "effectiveDateTime", "is not a time"),
        ({"valueQuantity": {"value": WIDE_YEAR, "code": "/min"}}, "valueQuantity.value", "is not a number"),
        ({"valueQuantity": {"value": 400, "code": "/min"}}, "heart_rate", "out of range"),
    ],
)
def test_what_is_wrong_is_refused_with_the_element_and_why(
    desk: Desk, wrong: dict[str, Any], field: str, reason: str
) -> None:
    result = brought(desk, observation(**wrong), observation())
    assert (result.read, result.rejected, len(desk.readings)) == (2, 1, 1)
    ((place, found, why),) = desk.reasons
    assert (place, found) == (1, field)
    assert reason in why


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"dimensions": 2}, "dimensions"),
        ({"data": "60 sixty"}, "data"),
        ({"data": "60 1e999"}, "data"),
        ({"data": "60 nan"}, "data"),
        ({"data": 60}, "data"),
        ({"data": "6" * (1 << 20) + " 6"}, "data"),
        ({"interval": None}, ""),
        ({"offsets": "0 1"}, ""),
        ({"interval": 0}, "interval"),
        ({"interval": 1e300}, ""),
        ({"intervalUnit": "fortnight"}, "intervalUnit"),
        ({"interval": None, "offsets": "0 1 2"}, "offsets"),
        ({"origin": None}, "origin"),
        ({"origin": {"value": 0, "code": "Cel"}}, "origin"),
        ({"factor": "x"}, "factor"),
        ({"data": "1e300 1", "factor": 1e300}, ""),
        ({"interval": None, "offsets": "0 1e308", "intervalUnit": "d"}, ""),
    ],
)
def test_series_that_do_not_hold_together_are_refused(desk: Desk, data: dict[str, Any], field: str) -> None:
    good = sampled(data="60 61", interval=1, intervalUnit="s")
    result = brought(desk, without(observation(valueSampledData=good | data), "valueQuantity"))
    assert (result.rejected, desk.readings) == (1, [])
    assert desk.reasons[0][1].removeprefix("valueSampledData").removeprefix(".") == field


def test_what_is_no_reading_is_passed_over_by_name(desk: Desk) -> None:
    weight = {"coding": [{"system": LOINC, "code": "29463-7", "display": "Body weight"}]}
    mean = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-statistics", "code": "average"}]}
    result = brought(
        desk,
        observation(),
        observation(status="entered-in-error"),
        observation(status="cancelled"),
        observation(code=weight),
        observation(code={"text": "Steps\n\x00" + "x" * 500}),
        without(observation(dataAbsentReason={"text": "unknown"}), "valueQuantity"),
        without(
            observation(component=[{"code": mean, "valueQuantity": {"value": 60, "code": "/min"}}]), "valueQuantity"
        ),
        {"resourceType": "Patient", "id": "ann"},
    )
    assert (result.read, len(desk.readings), desk.refused) == (1, 1, [])
    steps = next(name for name in result.passed_over if "Steps" in name)
    assert len(steps) < 100
    assert result.passed_over == {
        "Observations entered in error": 1,
        "Observations that were cancelled": 1,
        "Observation 29463-7 Body weight": 1,
        steps: 1,
        "Observations without a value": 1,
        "statistics (averages, minima, maxima), which are no readings": 1,
        "Patient resources": 1,
    }


def test_vital_signs_among_components_are_read(desk: Desk) -> None:
    panel = {"coding": [{"system": LOINC, "code": "85353-1", "display": "Vital signs panel"}]}
    pressure = {"coding": [{"system": LOINC, "code": "8480-6", "display": "Systolic blood pressure"}]}
    parts = [
        {"code": observation()["code"], "valueQuantity": {"value": 63, "code": "/min"}},
        {"code": pressure, "valueQuantity": {"value": 120, "code": "mm[Hg]"}},
        {"code": {"coding": [{"system": LOINC, "code": "9279-1"}]}, "valueQuantity": {"value": 14, "code": "/min"}},
    ]
    result = brought(desk, without(observation(code=panel, component=parts), "valueQuantity"))
    assert [(row[0], row[4]) for row in desk.readings] == [("heart_rate", 63), ("respiratory_rate", 14)]
    assert result.passed_over == {"component 8480-6 Systolic blood pressure": 1}


@pytest.mark.parametrize(
    ("subject", "person"),
    [
        ({"identifier": {"system": "urn:mrn", "value": "4711"}}, "4711"),
        ({"reference": "https://example.org/fhir/Patient/ann/_history/2"}, "ann"),
        ({"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"}, "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"),
    ],
)
def test_the_person_is_who_the_subject_is(desk: Desk, subject: dict[str, Any], person: str) -> None:
    brought(desk, observation(subject=subject, device={"display": "Garmin HRM"}))
    assert desk.readings == [("heart_rate", person, "Garmin-HRM", TEN_US, 63)]


def test_a_named_person_takes_the_place_of_one_and_not_of_several(desk: Desk) -> None:
    owner = FileOwner("eva", "mine", everybody_in(ZoneInfo("UTC")))
    other = observation(subject={"reference": "Patient/ben"}, effectiveDateTime="2024-01-15T10:00:05Z")
    result = brought(desk, observation(), other, without(other, "subject"), owner=owner)
    assert [row[1:4] for row in desk.readings] == [("eva", "mine", TEN_US), ("eva", "mine", TEN_US + 5_000_000)]
    assert (result.rejected, desk.reasons[0][1]) == (1, "subject")


def test_files_of_an_import_that_are_of_several_people_are_not_given_to_one(desk: Desk) -> None:
    other = observation(subject={"reference": "Patient/ben"}, effectiveDateTime="2024-01-15T10:00:05Z")
    files = {"ann.json": json.dumps(observation()).encode(), "ben.json": json.dumps(other).encode()}
    results = desk.bring(zipped(files), "both.zip")
    assert [result.rejected for result in results] == [0, 1]
    assert len(desk.readings) == 1


def test_a_value_of_a_period_is_a_reading_only_if_the_period_is_short(desk: Desk) -> None:
    bare = without(observation(), "effectiveDateTime")
    minute = {"start": "2024-01-15T10:00:00Z", "end": "2024-01-15T10:01:00Z"}
    night = {"start": "2024-01-15T00:00:00Z", "end": "2024-01-15T06:00:00Z"}
    goes_on = {"start": "2024-01-15T10:02:00Z"}
    periods = [bare | {"effectivePeriod": period} for period in (minute, night, goes_on)]
    result = brought(desk, *periods, bare)
    assert (result.read, result.rejected, len(desk.readings)) == (4, 3, 1)
    assert [each[1] for each in desk.reasons] == ["effectivePeriod", "effectivePeriod.end", "effective[x]"]


def test_what_has_no_data_is_counted(desk: Desk) -> None:
    series = without(observation(valueSampledData=without(sampled(period=500), "data")), "valueQuantity")
    known = {"code": observation()["code"], "valueQuantity": {"value": 63, "code": "/min"}}
    panel = {"coding": [{"system": LOINC, "code": "85353-1"}]}
    parts = [known, {"code": observation()["code"]}, known | {"modifierExtension": [{"url": "urn:x"}]}]
    result = brought(desk, series, without(observation(code=panel, component=parts), "valueQuantity"))
    assert result.passed_over == {"Observations without a value": 1, "components without a value": 1}
    assert (len(desk.readings), desk.reasons[0][:2]) == (1, (2, "component.modifierExtension"))


def test_a_bundle_whose_entries_are_no_list_is_refused(desk: Desk) -> None:
    bundle = {"resourceType": "Bundle", "type": "collection"}
    result = brought(desk, bundle | {"entry": {"resource": observation()}}, bundle | {"entry": []}, bundle)
    assert (result.rejected, desk.reasons) == (1, [(1, "Bundle.entry", "is no list")])


def test_entries_of_a_list_inside_a_large_observation_are_not_taken_for_those_of_a_bundle(desk: Desk) -> None:
    contained = {"resourceType": "List", "note": '"entry":[', "entry": [{"item": {}}]}
    large = observation(contained=[contained], note=[{"text": "x" * 70_000}])
    result = brought(desk, large, observation(effectiveDateTime="2024-01-15T10:00:09Z"))
    assert (result.problem, result.passed_over, len(desk.readings)) == (None, {}, 2)


def test_resting_heart_rates_are_days(desk: Desk) -> None:
    code = {"coding": [{"system": LOINC, "code": "40443-4"}]}
    day = observation(code=code, effectiveDateTime="2024-01-15", method={"text": "vendor"})
    bare = without(day, "method", "effectiveDateTime")
    result = brought(
        desk,
        day,
        bare | {"effectiveDateTime": "2024-01-16T08:00:00+01:00"},
        bare | {"effectiveInstant": "2024-01-17T00:30:00+01:00"},
    )
    assert (result.read, result.written, desk.rows) == (3, 3, [])
    found = desk.store.summaries("ann", date(2024, 1, 15), date(2024, 1, 17))
    assert [(str(each.day), each.resting_heart_rate, each.resting_heart_rate_method) for each in found] == [
        ("2024-01-15", 63, "vendor"),
        ("2024-01-16", 63, "fhir"),
        ("2024-01-17", 63, "fhir"),
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"effectiveDateTime": "0001-01-01"}, "day"),
        ({"effectiveDateTime": "1969-12-31"}, "day"),
        ({"effectiveDateTime": "2999-01-01"}, "day"),
        ({"effectiveDateTime": "9999-12-31"}, "day"),
        ({"effectiveDateTime": "2024-01-15Tgarbage"}, "effectiveDateTime"),
        ({"effectiveDateTime": "2024-01-15T25:00:00Z"}, "effectiveDateTime"),
        ({"effectiveDateTime": WIDE_YEAR + "-01-15"}, "effectiveDateTime"),
        ({"effectiveDateTime": None, "effectiveInstant": "2024-01"}, "effectiveInstant"),
        ({"effectiveDateTime": None}, "effective[x]"),
        ({"implicitRules": "urn:x"}, "implicitRules"),
    ],
)
def test_days_that_are_none_are_refused(desk: Desk, wrong: dict[str, Any], field: str) -> None:
    code = {"coding": [{"system": LOINC, "code": "40443-4"}]}
    result = brought(desk, observation(code=code) | wrong)
    assert (result.rejected, result.written, desk.reasons[0][1]) == (1, 0, field)


@pytest.mark.parametrize("method", ["\ud800", "a\0b"])
def test_days_whose_method_no_store_can_keep_are_refused(desk: Desk, method: str) -> None:
    code = {"coding": [{"system": LOINC, "code": "40443-4"}]}
    day = observation(code=code, effectiveDateTime="2024-01-15")
    result = brought(desk, day | {"method": {"text": method}}, day)
    assert (result.rejected, result.written) == (1, 1)
    assert desk.reasons[0][:2] == (1, "resting_heart_rate_method")


def test_a_bundle_is_read_in_whatever_order_its_fields_are_and_whatever_lies_around(desk: Desk) -> None:
    entries = [{"fullUrl": "urn:uuid:1", "resource": observation()}, {"request": {}}, 5]
    for bundle in (
        {"entry": entries, "link": [], "resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle", "meta": {"tag": [{"display": "x" * 70_000}]}, "entry": entries},
        {"resourceType": "Bundle", "entry": [*entries, {"resource": {"resourceType": "Basic", "text": "x" * 70_000}}]},
        {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Bundle", "entry": entries}}]},
        [observation(), observation()],
    ):
        result = brought(desk, bundle)
        assert (result.kind, result.problem, len(desk.readings)) == ("FHIR Observations", None, 1)


def test_what_follows_a_large_bundle_is_not_lost_in_silence(desk: Desk) -> None:
    filler = {"resource": {"resourceType": "Basic", "text": "x" * 70_000}}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": observation()}, filler], "signature": {"data": "x"}}
    result = brought(desk, bundle, bundle)
    assert result.problem is not None
    assert "something else follows" in result.problem
    small = {"resourceType": "Bundle", "entry": [{"resource": observation(effectiveDateTime="2024-01-15T10:00:09Z")}]}
    assert (brought(desk, small, small).problem, len(desk.readings)) == (None, 2)


def large_bundle(*entries: Any, **behind: Any) -> bytes:
    """Too large to be read as a whole at first."""
    filler = {"resource": {"resourceType": "Basic", "text": "x" * 70_000}}
    return json.dumps({"resourceType": "Bundle", "entry": [*entries, filler]} | behind).encode()


@pytest.mark.parametrize("first", [json.dumps([observation()]).encode(), large_bundle({"resource": observation()})])
@pytest.mark.parametrize("more", [b"[]", b"{}", b" \n,{", b"x", json.dumps([observation()]).encode()])
def test_what_follows_a_list_is_not_lost_in_silence(desk: Desk, first: bytes, more: bytes) -> None:
    assert brought(desk, first + b" \r\n\t").problem is None
    result = brought(desk, first, more)
    assert result.problem is not None
    assert result.problem.startswith("something else follows behind record")
    assert len(desk.readings) == 1


def test_a_list_behind_an_observation_is_not_lost_in_silence(desk: Desk) -> None:
    assert brought(desk, observation(), [observation()]).problem == "a list follows behind record 1, which is not read"
    assert len(desk.readings) == 1


def test_a_second_list_of_entries_in_a_bundle_is_not_lost_in_silence(desk: Desk) -> None:
    bundle = large_bundle({"resource": observation()}, signature={"data": "x" * 300_000, "entry": []})
    assert brought(desk, bundle).problem is None
    second = b',"entry":[' + json.dumps({"resource": observation()}).encode() + b"]}"
    assert (
        brought(desk, bundle[:-1] + second).problem == "a second list entry follows behind record 2, which is not read"
    )
    for cut in (1, 2, 20, 300_020):
        assert brought(desk, bundle[:-cut]).problem == "the file is cut short or damaged behind record 2"


@pytest.mark.parametrize("cut", [b'{"resource":{"resourceType":"Obs', b"{{{{", b'"x', b"\xff\xfe", b"[" * 100_000])
def test_what_comes_before_a_damage_is_kept(desk: Desk, cut: bytes) -> None:
    begin = json.dumps({"resource": observation()}).encode()
    result = brought(desk, b'{"resourceType":"Bundle","type":"batch","entry":[' + begin + b"," + cut)
    assert len(desk.readings) == 1
    assert result.problem is not None


def test_a_bundle_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_formats, "_BLOCK_READINGS", 500)
    one = json.dumps({"resource": observation()}).encode()
    pieces = itertools.chain([b'{"resourceType":"Bundle","entry":[', one], itertools.repeat(b"," + one))
    taken_bytes = 0

    class Endless:
        def read(self, size: int, /) -> bytes:
            nonlocal taken_bytes
            data = b"".join(itertools.islice(pieces, size // len(one)))
            taken_bytes += len(data)
            return data + b" " * (size - len(data))

    blocks = list(itertools.islice(read_fhir(Endless(), NOBODY), 5))
    assert [block.total for block in blocks if isinstance(block, Block)] == [500] * 5
    assert taken_bytes < 2_500 * len(one) + (1 << 20)


# --- Open mHealth ----------------------------------------------------------------------------------------------------


def point(schema: str, body: Any, **more: Any) -> dict[str, Any]:
    namespace, name, version = schema.split(":")
    known = {"namespace": namespace, "name": name, "version": version}
    return {"header": {"uuid": "x", "schema_id": known, "user_id": "ann"} | more, "body": body}


def beats(value: float, **frame: Any) -> dict[str, Any]:
    return {"heart_rate": {"value": value, "unit": "beats/min"}, "effective_time_frame": frame}


def lasting(days: float) -> dict[str, Any]:
    return {"end_date_time": "2024-01-15T10:04:00Z", "duration": {"value": days, "unit": "d"}}


def test_points_and_series_of_others_are_read(desk: Desk) -> None:
    minute = {"start_date_time": "2024-01-15T10:01:00Z", "end_date_time": "2024-01-15T10:02:00Z"}
    before = {"end_date_time": "2024-01-15T10:04:00Z", "duration": {"value": 60, "unit": "sec"}}
    provenance = {"source_name": "RunKeeper HealthGraph API"}
    fever = {
        "body_temperature": {"value": 98.6, "unit": "F"},
        "effective_time_frame": {"date_time": "2024-01-15T10:00:00Z"},
    }
    result = brought(
        desk,
        point(
            "omh:heart-rate:1.0", beats(63, date_time="2024-01-15T11:00:00+01:00"), acquisition_provenance=provenance
        ),
        point("omh:heart-rate:2.0", [beats(64, time_interval=minute), beats(65, time_interval=before)]),
        point("omh:body-temperature:4.0", fever, external_datasheets=[{"datasheet_reference": "https://x.org/thermo"}]),
        point("omh:step-count:3.0", {"step_count": {}}),
        point("omh:heart-rate:2.0", beats(60, time_interval=minute) | {"descriptive_statistic": "average"}),
        {"header": {"schema_id": {}}},
    )
    assert desk.refused == []
    assert sorted((row[0], row[3] - TEN_US, row[4]) for row in desk.readings) == [
        ("body_temperature", 0, 37.0),
        ("heart_rate", 0, 63.0),
        ("heart_rate", 60_000_000, 64.0),
        ("heart_rate", 180_000_000, 65.0),
    ]
    assert result.passed_over == {
        "schema omh:step-count:3.0": 1,
        "statistics (averages, minima, maxima), which are no readings": 1,
        "objects without header and body": 1,
    }


@pytest.mark.parametrize(
    ("body", "header", "field"),
    [
        (beats(63, date_time="noon"), {}, "body.effective_time_frame.date_time"),
        (beats(63, time_interval={}), {}, "body.effective_time_frame"),
        (beats(63, time_interval=lasting(-1e308)), {}, "body.effective_time_frame"),
        (beats(63, time_interval=lasting(1e308)), {}, "body.effective_time_frame"),
        (beats(63, time_interval={"start_date_time": "2024-01-15", "end_date_time": "2024-01-16"}), {}, None),
        ({"heart_rate": {"value": 63, "unit": "mm"}}, {}, "body.heart_rate"),
        ({"heart_rate": {"value": None, "unit": "beats/min"}}, {}, "body.heart_rate"),
        ({"heart_rate": 63}, {}, "body.heart_rate"),
        ([5], {}, "body"),
        (beats(63, date_time="2024-01-15T10:00:00Z"), {"user_id": None}, "header.user_id"),
        (beats(63, date_time="2024-01-15T10:00:00Z"), {"user_id": "\ud800"}, "header.user_id"),
        (beats(63, date_time="2024-01-15T10:00:00Z"), {"confidence": 7}, "confidence"),
    ],
)
def test_points_that_are_wrong_are_refused(desk: Desk, body: Any, header: dict[str, Any], field: str | None) -> None:
    result = brought(desk, point("omh:heart-rate:2.0", body, **header))
    assert (result.rejected, desk.readings) == (1, [])
    assert field in (None, desk.reasons[0][1])
