"""Write readings as Observations of FHIR R5: raw readings as SampledData with exact offsets, buckets as statistics.

An Observation is of one person, metric, device and UTC day, and says the same however often it is written: its id is
made of what it is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pulsebase.model.health_codes import (
    CATEGORY,
    CONFIDENCE,
    MINUTES,
    OUR_CODES,
    OUR_DEVICES,
    OUR_PEOPLE,
    RESTING,
    RESTING_HEART_RATE,
    STATISTICS,
    UCUM,
    codes_of,
)
from pulsebase.model.metrics import HEART_RATE, MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.summaries import DailySummary
from pulsebase.model.timerange import format_us
from pulsebase.query.runs import Bucket, Run

#: How a Bundle begins and ends. Between them are entries, separated by commas.
BUNDLE_BEGIN = b'{"resourceType":"Bundle","type":"collection","entry":['
BUNDLE_END = b"]}"
#: A Bundle of nothing: FHIR knows no empty lists.
EMPTY_BUNDLE = b'{"resourceType":"Bundle","type":"collection"}'

_IDS = UUID("6f0d2c35-7a0e-5b7c-9f44-0c1d5a1f6a11")
_CATEGORY = [{"coding": [{"system": CATEGORY, "code": "vital-signs", "display": "Vital Signs"}]}]
_MILLISECOND_US = 1000
#: What stands in SampledData for a value that is not known.
_UNKNOWN = "E"

Observation = Mapping[str, Any]


def observation_of(run: Run) -> Observation:
    """Return a run as an Observation: one reading as a Quantity, several as SampledData. Confidences, if any is known,
    are a component beside the values.
    """
    about = _about(run.metric, run.user_id, f"{run.device_id}/{run.first_us}/{run.last_us}/{len(run)}")
    device = {"device": _reference("Device", OUR_DEVICES, run.device_id)}
    known = bool((run.confidences != NO_CONFIDENCE).any())
    if len(run) == 1:
        stated: dict[str, Any] = {
            "effectiveDateTime": format_us(run.first_us),
            "valueQuantity": _quantity(run.metric, float(run.values[0])),
        }
        sure: dict[str, Any] = {"valueInteger": int(run.confidences[0])}
    else:
        offsets = _offsets_ms(run.times_us)
        stated = {
            "effectivePeriod": {"start": format_us(run.first_us), "end": format_us(run.last_us)},
            "valueSampledData": _sampled(_quantity(run.metric, 0), offsets, _texts(run.values)),
        }
        sure = {"valueSampledData": _sampled({"value": 0}, offsets, _sure(run.confidences))}
    component = {"component": [{"code": _ours(CONFIDENCE, "Confidence, 0 to 3")} | sure]} if known else {}
    return about | stated | device | component


def statistics_of(bucket: Bucket) -> Observation:
    """Return a bucket as an Observation with average, minimum, maximum and number of the readings, and in how many
    minutes they are.
    """
    about = _about(bucket.metric, bucket.user_id, f"{bucket.start_us}/{bucket.end_us}")
    values = (("average", bucket.avg), ("minimum", bucket.min), ("maximum", bucket.max))
    # A Period includes its end.
    period = {"start": format_us(bucket.start_us), "end": format_us(bucket.end_us - 1)}
    components = [
        {"code": _statistic(name), "valueQuantity": _quantity(bucket.metric, value)} for name, value in values
    ]
    count = {"code": _statistic("count"), "valueQuantity": _ucum(bucket.count, "1", "1")}
    minutes = {"code": _ours(MINUTES, "Minutes with readings"), "valueQuantity": _ucum(bucket.minutes, "min", "min")}
    return about | {"effectivePeriod": period, "component": [*components, count, minutes]}


def resting_of(summary: DailySummary) -> Observation | None:
    """Return the resting heart rate of a day as an Observation of that date, None if the day has none."""
    if summary.resting_heart_rate is None:
        return None
    method = summary.resting_heart_rate_method
    known = RESTING_HEART_RATE
    codings = [
        {"system": known.system, "code": known.code, "display": known.display},
        {"system": OUR_CODES, "code": RESTING, "display": "Resting heart rate of a day"},
    ]
    identity = f"{RESTING}/{summary.user_id}/{summary.day}/{method or ''}"
    about = _observation(identity, codings, "Resting heart rate", summary.user_id)
    found = about | {
        "effectiveDateTime": summary.day.isoformat(),
        "valueQuantity": _quantity(HEART_RATE, summary.resting_heart_rate),
    }
    return found | ({} if method is None else {"method": {"text": method}})


def ndjson(observations: Iterable[Observation]) -> Iterator[bytes]:
    """Yield Observations a line each, as FHIR's bulk data has them."""
    for observation in observations:
        yield msgspec.json.encode(observation) + b"\n"


def bundle(observations: Iterable[Observation]) -> Iterator[bytes]:
    """Yield the pieces of one Bundle, a collection of the Observations."""
    before = BUNDLE_BEGIN
    for observation in observations:
        yield before + entry(observation)
        before = b","
    yield EMPTY_BUNDLE if before == BUNDLE_BEGIN else BUNDLE_END


def entry(observation: Observation) -> bytes:
    """Return an Observation as an entry of a Bundle."""
    return msgspec.json.encode({"fullUrl": f"urn:uuid:{observation['id']}", "resource": observation})


def _about(metric: MetricSpec, user_id: str, what: str) -> dict[str, Any]:
    codings = [
        *({"system": each.system, "code": each.code, "display": each.display} for each in codes_of(metric).codings),
        {"system": OUR_CODES, "code": metric.name, "display": metric.title},
    ]
    return _observation(f"{metric.name}/{user_id}/{what}", codings, metric.title, user_id)


def _observation(identity: str, codings: Sequence[Mapping[str, str]], text: str, user_id: str) -> dict[str, Any]:
    """Return what every Observation begins with. Its id is made of `identity`."""
    return {
        "resourceType": "Observation",
        "id": str(uuid5(_IDS, identity)),
        "status": "final",
        "category": _CATEGORY,
        "code": {"coding": codings, "text": text},
        "subject": _reference("Patient", OUR_PEOPLE, user_id),
    }


def _reference(kind: str, system: str, value: str) -> dict[str, Any]:
    return {"type": kind, "identifier": {"system": system, "value": value}}


def _ours(code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": OUR_CODES, "code": code, "display": display}]}


def _statistic(name: str) -> dict[str, Any]:
    return {"coding": [{"system": STATISTICS, "code": name, "display": name.title()}]}


def _quantity(metric: MetricSpec, value: float) -> dict[str, Any]:
    ucum = codes_of(metric).ucum
    return {"value": value, "unit": metric.unit} if ucum is None else _ucum(value, metric.unit, ucum)


def _ucum(value: float, unit: str, code: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": code}


def _sampled(origin: Mapping[str, Any], offsets: str, data: str) -> dict[str, Any]:
    return {"origin": origin, "intervalUnit": "ms", "dimensions": 1, "offsets": offsets, "data": data}


def _offsets_ms(times_us: npt.NDArray[np.int64]) -> str:
    """Return the times as milliseconds since the first, with decimals where they are no whole ones."""
    offsets_us = times_us - times_us[0]
    if not (offsets_us % _MILLISECOND_US).any():
        return " ".join(map(str, (offsets_us // _MILLISECOND_US).tolist()))
    parts = (divmod(offset_us, _MILLISECOND_US) for offset_us in offsets_us.tolist())
    return " ".join(f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole) for whole, rest in parts)


def _texts(values: npt.NDArray[np.float64]) -> str:
    texts: Sequence[str] = pa.array(values).cast(pa.string()).to_pylist()
    return " ".join(texts)


def _sure(confidences: npt.NDArray[np.int8]) -> str:
    return " ".join(_UNKNOWN if each == NO_CONFIDENCE else str(each) for each in confidences.tolist())
