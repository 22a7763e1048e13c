# ruff: noqa: INP001 the folder is no package: it stands in `PYTHONPATH`
"""One entry more in the registry of metrics. Python imports a module of this name before everything else, in each
process that has this folder in its `PYTHONPATH`: such a process is the product with that entry.
"""

from typing import cast

from pulsebase.model.metrics import METRICS, MetricSpec

BLOOD_GLUCOSE = MetricSpec(
    name="blood_glucose",
    title="Blood glucose",
    unit="mmol/l",
    scale=100,
    low=1,
    high=40,
    table="blood_glucose",
    aliases=("glucose",),
    hint="send millimoles per litre, 5.5 rather than 99",
)
cast("dict[str, MetricSpec]", METRICS)[BLOOD_GLUCOSE.name] = BLOOD_GLUCOSE
