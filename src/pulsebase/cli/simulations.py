"""The commands that make readings up: simulated clouds and devices, and populations."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from pulsebase.cli.options import Format, Host, Metrics, StoreUrl, is_json, metrics_of, settings_for

commands = typer.Typer()


@commands.command("fitbit-sim")
def fitbit_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests per hour and person; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate a Fitbit-shaped cloud with the two synthetic people."""
    _simulate_cloud("fitbit", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


@commands.command("google-sim")
def google_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8101,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests per minute and person; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate the Google Health API v4 with the two synthetic people."""
    _simulate_cloud("google", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


@commands.command("oura-sim")
def oura_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8102,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=0, help="Requests in five minutes and person; 0 means no limit.")
    ] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate the Oura API v2 with the two synthetic people."""
    _simulate_cloud("oura", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


@commands.command("polar-sim")
def polar_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8104,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests in 15 minutes in all; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate the Polar AccessLink API v3 with the two synthetic people."""
    _simulate_cloud("polar", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


@commands.command("withings-sim")
def withings_sim(  # noqa: PLR0917 an option each
    host: Host = None,
    port: Annotated[int, typer.Option(help="The port; 0 picks a free one.")] = 8103,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 1,
    limit: Annotated[int | None, typer.Option(min=0, help="Requests per minute in all; 0 means no limit.")] = None,
    now: Annotated[str | None, typer.Option(help="Stop the clock at this time, until it is moved.")] = None,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=SHARE@FROM/UNTIL; may be repeated.")] = None,
) -> None:
    """Simulate the Withings API with the two synthetic people."""
    _simulate_cloud("withings", host, port=port, seed=seed, limit=limit, now=now, faults=fault or ())


def _simulate_cloud(kind: str, host: str | None, **options: Any) -> None:
    from pulsebase.cli.simulators import SimulatorOptions, run_simulator

    settings_for()
    run_simulator(kind, SimulatorOptions(host=host or "127.0.0.1", **options))


@commands.command()
def simulate(  # noqa: PLR0917 an option each
    url: Annotated[str, typer.Option(help="The running server.")] = "http://127.0.0.1:8000",
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 10,
    devices: Annotated[int, typer.Option(min=1, help="How many devices per person.")] = 2,
    rate: Annotated[
        float | None, typer.Option(help="Readings per second; as fast as the server accepts them by default.")
    ] = None,
    total: Annotated[int | None, typer.Option(min=1, help="Stop after this many readings.")] = None,
    duration: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many connections.")] = 8,
    seed: Annotated[int, typer.Option(help="The same seed sends the same load.")] = 1,
    form: Format = "table",
) -> None:
    """Send the load of many devices to a running server, with duplicates, disorder, bursts, late and bad readings."""
    from pulsebase.cli.simulate import load_spec, run_simulation

    settings_for()
    if total is None and duration is None:
        duration = 30.0
    spec = load_spec(
        users=users, devices=devices, rate=rate, total=total, duration_s=duration, concurrency=concurrency, seed=seed
    )
    asyncio.run(run_simulation(url, spec, as_json=is_json(form)))


@commands.command()
def fixtures(  # noqa: PLR0917 an option each
    users: Annotated[int, typer.Option(min=1, help="How many people.")] = 1_000,
    readings: Annotated[int, typer.Option(min=1, help="How many readings, exactly.")] = 60_000_000,
    metric: Metrics = None,
    seed: Annotated[int, typer.Option(min=0, help="The same options make the same readings.")] = 1,
    start: Annotated[str | None, typer.Option(help="The first civil day; 2025-01-01 by default.")] = None,
    store: StoreUrl = None,
) -> None:
    """Fill the store with made-up people who have a reading every ten minutes, to try questions about many people."""
    from pulsebase.cli.fixtures import fixture_spec, run_fixtures

    run_fixtures(settings_for(store_url=store), fixture_spec(users, readings, seed, start, metrics_of(metric)))
