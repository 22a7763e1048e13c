"""The metrics: vital signs that people wear devices for, each a value at an instant. One `MetricSpec` describes each.

Whatever differs between metrics is said here and nowhere else. Adding one is one entry in `METRICS`, and a mapping in
each source that has it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pulsebase.model.errors import RejectedError, StoreVersionError

#: Stored values are 16-bit integers. The lowest one marks a deleted reading.
MOST_STORED_VALUE = 32_767


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One measured quantity.

    Attributes:
        name: its name in answers, fields, files and settings; paths may write hyphens for underscores.
        title: its name on the page.
        unit: the unit of its values.
        scale: how many stored units make one `unit`, since values are stored as integers. A power of ten.
        low: the default of the lowest accepted value, in `unit`.
        high: the default of the highest accepted value.
        table: the name of its raw readings in answers; coarser ones add the rung.
        aliases: other names that questions may use.
        group_step: what averages of groups are rounded to where they must not tell of anybody in them, in `unit`. Of
            ten people half a step of the mean is five steps of one of them, which should be as much as people differ.
        hint: what a value out of bounds is likely to be, for the error.
    """

    name: str
    title: str
    unit: str
    scale: int
    low: float
    high: float
    table: str
    aliases: tuple[str, ...] = ()
    hint: str = ""
    group_step: float = 1

    def __post_init__(self) -> None:
        if max(abs(self.low), abs(self.high)) * self.scale > MOST_STORED_VALUE:
            raise ValueError(f"{self.name}: its values do not fit the stored integers")

    @property
    def path(self) -> str:
        """The name as paths write it."""
        return self.name.replace("_", "-")

    @property
    def decimals(self) -> int:
        """How many decimals of a value are kept."""
        return len(str(self.scale)) - 1


HEART_RATE = MetricSpec(
    name="heart_rate",
    title="Heart rate",
    unit="bpm",
    scale=100,
    low=30,
    high=220,
    table="activities_heart_intraday",
    aliases=("activities_heart_intraday",),
)
#: The name of daily summaries of heart rate in answers.
HEART_RATE_SUMMARY_TABLE = "activities_heart_summary"
OXYGEN_SATURATION = MetricSpec(
    name="oxygen_saturation",
    title="Oxygen saturation",
    unit="%",
    scale=100,
    low=50,
    high=100,
    table="oxygen_saturation",
    aliases=("spo2",),
    hint="send percent, 97 rather than 0.97",
)
RESPIRATORY_RATE = MetricSpec(
    name="respiratory_rate",
    title="Respiratory rate",
    unit="breaths/min",
    scale=100,
    low=4,
    high=60,
    table="respiratory_rate",
)
HRV_RMSSD = MetricSpec(
    name="hrv_rmssd",
    title="Heart rate variability (RMSSD)",
    unit="ms",
    scale=100,
    low=1,
    high=300,
    table="hrv_rmssd",
    group_step=2,
)
HRV_SDNN = MetricSpec(
    name="hrv_sdnn",
    title="Heart rate variability (SDNN)",
    unit="ms",
    scale=100,
    low=1,
    high=300,
    table="hrv_sdnn",
    group_step=2,
)
RR_INTERVAL = MetricSpec(
    name="rr_interval",
    title="RR interval",
    unit="ms",
    scale=10,
    low=250,
    high=2500,
    table="rr_interval",
    group_step=20,
    hint="send milliseconds from beat to beat, 812 rather than 0.812",
)
SKIN_TEMPERATURE = MetricSpec(
    name="skin_temperature",
    title="Skin temperature",
    unit="°C",
    scale=100,
    low=20,
    high=45,
    table="skin_temperature",
    group_step=0.2,
    hint="send degrees Celsius; a deviation from the usual one is skin_temperature_delta",
)
SKIN_TEMPERATURE_DELTA = MetricSpec(
    name="skin_temperature_delta",
    title="Skin temperature, deviation",
    unit="°C",
    scale=100,
    low=-10,
    high=10,
    table="skin_temperature_delta",
    group_step=0.1,
    hint="send the deviation from the usual one in degrees Celsius",
)
BODY_TEMPERATURE = MetricSpec(
    name="body_temperature",
    title="Body temperature",
    unit="°C",
    scale=100,
    low=30,
    high=45,
    table="body_temperature",
    group_step=0.1,
    hint="send degrees Celsius, 36.8 rather than 98.2",
)

#: Every metric by its name, in the order in which they are listed.
METRICS: Mapping[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        HEART_RATE,
        OXYGEN_SATURATION,
        RESPIRATORY_RATE,
        HRV_RMSSD,
        HRV_SDNN,
        RR_INTERVAL,
        SKIN_TEMPERATURE,
        SKIN_TEMPERATURE_DELTA,
        BODY_TEMPERATURE,
    )
}


#: A name of more characters is like none of a metric.
_LONGEST_COMPARED = 64


class UnknownMetricError(ValueError):
    """Nothing is called so; the text names the nearest metric, or all."""


def metric_named(text: str) -> MetricSpec:
    """Return the metric of this name or alias, written with underscores or hyphens.

    Raises:
        UnknownMetricError: there is none.
    """
    spec = known_metric(text)
    if spec is not None:
        return spec
    plain = text[:_LONGEST_COMPARED].replace("-", "_").lower().replace(" ", "_")
    names = {name: spec.name for spec in METRICS.values() for name in (spec.name, *spec.aliases)}
    begun = [spec.name for spec in METRICS.values() if spec.name.startswith(f"{plain}_")]
    if len(begun) > 1:
        raise UnknownMetricError(f"is no metric; do you mean {' or '.join(begun)}?")
    near = difflib.get_close_matches(plain, names, n=1, cutoff=0.75)
    if near:
        raise UnknownMetricError(f"is no metric; do you mean {names[near[0]]}?")
    raise UnknownMetricError(f"is no metric; there are {', '.join(METRICS)}")


def asked_metric(text: str, field: str = "metric") -> MetricSpec:
    """Return the metric that a caller named, as `metric_named` does.

    Raises:
        RejectedError: there is none; names `field`.
    """
    try:
        return metric_named(text)
    except UnknownMetricError as error:
        raise RejectedError.of(field, str(error)) from None


def known_metric(text: str) -> MetricSpec | None:
    """Return the metric that `metric_named` returns, None if there is none."""
    asked = text.replace("-", "_")
    for spec in METRICS.values():
        if asked == spec.name or asked in spec.aliases:
            return spec
    return None


def require_known(name: str, scale: int, place: str) -> None:
    """Refuse a stored metric that this version does not know, or keeps in other parts of its unit, as a newer
    version wrote it. `place` says where it is.

    Raises:
        StoreVersionError: it is one; the message names it.
    """
    spec = METRICS.get(name)
    if spec is None:
        raise StoreVersionError(
            f"{place} has readings of the metric {name}, which this version does not know: install a newer Pulsebase"
        )
    if spec.scale != scale:
        raise StoreVersionError(
            f"{place} keeps {name} in parts of 1/{scale} {spec.unit}, this version in parts of 1/{spec.scale}: "
            "install a newer Pulsebase"
        )


def bounds_in(text: str) -> dict[str, tuple[float, float]]:
    """Read bounds of metrics: `oxygen_saturation=60:100, body_temperature=34:42`. Of heart rate they have settings of
    their own.

    Raises:
        ValueError: the text is none, or the bounds do not lie within what can be stored.
    """
    found: dict[str, tuple[float, float]] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, _, stated = entry.partition("=")
        low, _, high = stated.partition(":")
        try:
            spec = metric_named(name.strip())
            bounds = float(low), float(high)
        except UnknownMetricError as error:
            raise ValueError(f"{name.strip()} {error}") from None
        except ValueError:
            raise ValueError(f"{entry}: write it as oxygen_saturation=60:100") from None
        if spec is HEART_RATE:
            raise ValueError("the bounds of heart rate have settings of their own")
        if spec.name in found:
            raise ValueError(f"{entry}: the bounds of {spec.name} are stated twice")
        if not -MOST_STORED_VALUE <= bounds[0] * spec.scale < bounds[1] * spec.scale <= MOST_STORED_VALUE:
            raise ValueError(f"{entry}: the first must be below the second, and both must be values that can be stored")
        found[spec.name] = bounds
    return found
