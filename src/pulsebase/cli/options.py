"""What the commands share: the options for the store and for metrics, and loading the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from pulsebase.cli.logs import set_up_log
from pulsebase.model.errors import RejectedError, shown_name
from pulsebase.model.metrics import HEART_RATE, MetricSpec, UnknownMetricError, metric_named
from pulsebase.settings import Settings
from pulsebase.settings_loading import load_settings

StoreUrl = Annotated[
    str | None, typer.Option("--store", help="The store's URL or path; PULSEBASE_STORE_URL by default.")
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Such as oxygen_saturation; heart_rate by default. May be given several times."),
]
Format = Annotated[str, typer.Option("--format", help="table or json.")]
Host = Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1 by default.")]


def settings_for(**overrides: Any) -> Settings:
    """Load the settings, with these overrides, and set up the log accordingly."""
    settings = load_settings(**overrides)
    set_up_log(settings)
    return settings


def is_json(form: str) -> bool:
    """Return whether `--format` asks for JSON.

    Raises:
        RejectedError: it is neither that nor `table`.
    """
    if form not in ("table", "json"):
        raise RejectedError.of("--format", "must be table or json")
    return form == "json"


def metrics_of(names: Sequence[str] | None) -> list[MetricSpec]:
    """Return the metrics that `--metric` names, each once; heart rate if it was not given.

    Raises:
        RejectedError: one of them is none.
    """
    found: dict[str, MetricSpec] = {}
    for name in names or [HEART_RATE.name]:
        try:
            spec = metric_named(name)
        except UnknownMetricError as error:
            raise RejectedError.of("--metric", f"{shown_name(name)} {error}") from None
        found[spec.name] = spec
    return list(found.values())
