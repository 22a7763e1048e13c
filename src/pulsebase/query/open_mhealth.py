"""Write readings as data points of Open mHealth with the header of IEEE 1752.1, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid5

import msgspec
import pyarrow as pa

from pulsebase.model.health_codes import OUR_DEVICES, Schema, schema_of
from pulsebase.model.metrics import MetricSpec
from pulsebase.model.readings import NO_CONFIDENCE
from pulsebase.model.timerange import format_all_us, format_us
from pulsebase.query.runs import Bucket, Run

_IDS = UUID("0b9a5d0a-3c0e-5d55-8f3b-6a2f7c9e4d21")


@dataclass(frozen=True, slots=True)
class _Texts:
    """The pieces of a data point that are the same for all of a run, as JSON."""

    header: str
    field: str
    unit: str

    @classmethod
    def of(cls, schema: Schema, user_id: str, device_id: str | None) -> _Texts:
        known = {"namespace": "omh", "name": schema.name, "version": schema.version}
        header: dict[str, object] = {"schema_id": known, "modality": "sensed", "user_id": user_id}
        if device_id is not None:
            reference = f"{OUR_DEVICES}:{device_id}"
            header["external_datasheets"] = [{"datasheet_type": "hardware", "datasheet_reference": reference}]
        # The fields that differ come before these, so the brace is left out.
        return cls(msgspec.json.encode(header).decode()[1:-1], schema.field, schema.unit)


def points_of(run: Run) -> Iterator[bytes]:
    """Yield a line for each reading of a run.

    Raises:
        LookupError: Open mHealth has no schema for the metric.
    """
    texts = _Texts.of(_schema(run.metric), run.user_id, run.device_id)
    identity = f"{run.user_id}/{run.metric.name}/{run.device_id}/"
    times = format_all_us(run.times_us)
    values: list[str] = pa.array(run.values).cast(pa.string()).to_pylist()
    for time, at_us, value, confidence in zip(
        times, run.times_us.tolist(), values, run.confidences.tolist(), strict=True
    ):
        sure = "" if confidence == NO_CONFIDENCE else f',"confidence":{confidence}'
        body = (
            f'"{texts.field}":{{"value":{value},"unit":"{texts.unit}"}},"effective_time_frame":{{"date_time":"{time}"}}'
        )
        yield _line(uuid5(_IDS, f"{identity}{at_us}"), time, texts.header + sure, body)


def statistics_of(bucket: Bucket) -> Iterator[bytes]:
    """Yield a line each for the average, the minimum and the maximum of a bucket.

    Raises:
        LookupError: Open mHealth has no schema for the metric.
    """
    texts = _Texts.of(_schema(bucket.metric), bucket.user_id, None)
    start, end = format_us(bucket.start_us), format_us(bucket.end_us)
    frame = f'"effective_time_frame":{{"time_interval":{{"start_date_time":"{start}","end_date_time":"{end}"}}}}'
    for name, value in (("average", bucket.avg), ("minimum", bucket.min), ("maximum", bucket.max)):
        identity = f"{bucket.user_id}/{bucket.metric.name}/{bucket.start_us}/{bucket.end_us}/{name}"
        body = f'"{texts.field}":{{"value":{value},"unit":"{texts.unit}"}},{frame},"descriptive_statistic":"{name}"'
        yield _line(uuid5(_IDS, identity), end, texts.header, body)


def _schema(metric: MetricSpec) -> Schema:
    schema = schema_of(metric)
    if schema is None:
        raise LookupError(metric.name)
    return schema


def _line(uuid: UUID, created: str, header: str, body: str) -> bytes:
    return (
        f'{{"header":{{"uuid":"{uuid}","source_creation_date_time":"{created}",{header}}},"body":{{{body}}}}}\n'
    ).encode()
