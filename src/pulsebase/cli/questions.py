"""The commands that ask: series, cohorts, top hours and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsebase.cli.options import StoreUrl, metrics_of, settings_for

commands = typer.Typer()


@commands.command()
def export(  # noqa: PLR0917 an option each
    form: Annotated[
        str, typer.Option("--format", help="parquet, csv, ndjson, fhir (FHIR R5 Observations) or omh (Open mHealth).")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="A new folder, with one file per UTC day; a name that ends in the format is one file, of fhir and omh "
            "one that ends in .ndjson or .json."
        ),
    ],
    user: Annotated[list[str] | None, typer.Option(help="This person; may be given several times.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Such as respiratory_rate; may be given several times. By default all, in one file heart_rate."
        ),
    ] = None,
    start: Annotated[str | None, typer.Option(help="A date or a time.")] = None,
    end: Annotated[str | None, typer.Option(help="A date (its day included) or a time (itself not included).")] = None,
    store: StoreUrl = None,
) -> None:
    """Write readings of one metric or of several to files, as they are stored."""
    from pulsebase.cli.export import ExportChoices, run_export

    named = metrics_of(metric) if metric else None
    run_export(settings_for(store_url=store), ExportChoices(form, out, user or [], start, end, named))


@commands.command()
def query(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="The person.")],
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Such as oxygen_saturation; may be repeated. activities_heart_summary: daily summaries."),
    ] = None,
    interval: Annotated[str, typer.Option(help="auto, raw, 1s, 1m, 15m, 1h or 1d.")] = "auto",
    max_points: Annotated[
        int | None, typer.Option(help="Choose the finest interval with at most this many points.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Only readings of this device.")] = None,
    include_all: Annotated[bool, typer.Option("--all", help="Show the readings of every device, unresolved.")] = False,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates, local times and days.")] = "UTC",
    form: Annotated[str, typer.Option("--format", help="table, csv or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show one person's series, of one metric or of several at one resolution."""
    from pulsebase.cli.query import run_query

    parameters = {
        "user_id": user_id,
        "metric": metric or None,
        "start_date": start,
        "end_date": end,
        "interval": interval,
        "max_points": max_points,
        "device_id": device,
        "include": "all" if include_all else None,
        "tz": tz,
    }
    run_query(settings_for(store_url=store), parameters, form)


@commands.command()
def cohort(  # noqa: PLR0917 an option each
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    min_avg_heart_rate: Annotated[str | None, typer.Option(help="The average has to be above it, bpm.")] = None,
    metric: Annotated[str, typer.Option(help="What the average is of.")] = "heart_rate",
    min_avg: Annotated[str | None, typer.Option(help="The average has to be above it, in the metric's unit.")] = None,
    max_avg: Annotated[str | None, typer.Option(help="The average must not be above it.")] = None,
    min_age: Annotated[int | None, typer.Option(help="Older than so many full years on the first day.")] = None,
    max_age: Annotated[int | None, typer.Option(help="Not older than so many full years on that day.")] = None,
    gender: Annotated[list[str] | None, typer.Option(help="female, male or other; repeat for several.")] = None,
    min_coverage: Annotated[
        str | None, typer.Option(help="The least share of the minutes with a counted reading, 0 to 1.")
    ] = None,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates and local times.")] = "UTC",
    limit: Annotated[int, typer.Option(help="Show at most this many people, up to 1000.")] = 100,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Find people by age, gender and average over a period, the highest average first."""
    from pulsebase.cli.cohorts import run_cohort

    parameters = {
        "start": start,
        "end": end,
        "min_avg_heart_rate": min_avg_heart_rate,
        "min_avg": min_avg,
        "max_avg": max_avg,
        "min_age": min_age,
        "max_age": max_age,
        "gender": gender or None,
        "min_coverage": min_coverage,
        "tz": tz,
        "limit": limit,
    }
    (spec,) = metrics_of([metric])
    run_cohort(settings_for(store_url=store), spec, parameters, form)


@commands.command()
def top_hours(  # noqa: PLR0917 an option each
    user_id: Annotated[str, typer.Argument(help="The person.")],
    start: Annotated[str, typer.Argument(help="A date or a time.")],
    end: Annotated[str, typer.Argument(help="A date (its day included) or a time (itself not included).")],
    metric: Annotated[str | None, typer.Option(help="Such as respiratory_rate; heart_rate by default.")] = None,
    limit: Annotated[int, typer.Option(help="So many averages, at most 1000.")] = 10,
    tz: Annotated[str, typer.Option(help="The IANA zone of dates and local times.")] = "UTC",
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    store: StoreUrl = None,
) -> None:
    """Show a person's highest distinct hourly averages (UTC hours), each with the first hour that has it."""
    from pulsebase.cli.cohorts import run_top_hours

    parameters = {"start": start, "end": end, "limit": limit, "tz": tz}
    (spec,) = metrics_of([metric] if metric else None)
    run_top_hours(settings_for(store_url=store), user_id, spec, parameters, form)


@commands.command()
def mcp(  # noqa: PLR0917 an option each
    url: Annotated[str | None, typer.Option(help="A running server to ask; the store itself by default.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="A file with a key that may read, for --url.")] = None,
    over_http: Annotated[
        bool, typer.Option("--http", help="Answer over HTTP, at /mcp, in place of standard input and output.")
    ] = False,
    host: Annotated[str, typer.Option(help="The address to listen on, with --http.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port, with --http; 0 picks a free one.")] = 8018,
    store: StoreUrl = None,
) -> None:
    """Answer assistants by the Model Context Protocol: questions about people's readings, and nothing else."""
    from pulsebase.cli.assistants import McpOptions, run_mcp

    run_mcp(settings_for(store_url=store), McpOptions(url, key_file, over_http, host, port))
