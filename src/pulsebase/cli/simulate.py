"""`simulate`: send the load of many devices to a running server, and show live rates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import httpx2 as httpx
from rich.live import Live
from rich.table import Table

from pulsebase.cli.output import console, write_json
from pulsebase.ingest.validate import wall_clock_us
from pulsebase.model.errors import RejectedError
from pulsebase.sources.simulator import LoadProgress, LoadSpec, simulate


def load_spec(**choices: Any) -> LoadSpec:
    """Return the load that the options describe.

    Raises:
        RejectedError: they do not describe a valid load.
    """
    try:
        return LoadSpec(**choices)
    except ValueError as error:
        raise RejectedError.of("simulate", str(error)) from None


async def run_simulation(url: str, spec: LoadSpec, *, as_json: bool = False) -> None:
    """Send the load and show its progress, or as JSON the figures at the end.

    Raises:
        RejectedError: the URL is not valid.
        StopError: nothing answers at the URL, or it is not a Pulsebase server.
    """
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise RejectedError.of("--url", str(error)) from None
    if as_json:
        told = [progress async for progress in simulate(url, spec, start_us=wall_clock_us())]
        write_json(asdict(told[-1]))
        return
    with Live(console=console, refresh_per_second=4) as live:
        async for progress in simulate(url, spec, start_us=wall_clock_us()):
            live.update(_table(progress))


def _table(progress: LoadProgress) -> Table:
    rate = progress.accepted / progress.elapsed_s if progress.elapsed_s else 0.0
    table = Table(show_header=False, box=None)
    table.add_row("time", f"{progress.elapsed_s:.1f} s")
    table.add_row("requests", f"{progress.requests:,} ({progress.retried:,} sent again)")
    table.add_row("sent", f"{progress.sent:,} readings")
    table.add_row("accepted", f"{progress.accepted:,} readings, {rate:,.0f}/s")
    table.add_row("rejected", f"{progress.rejected:,} readings")
    table.add_row("lost", f"{progress.lost:,} readings")
    table.add_row(
        "latency", f"p50 {progress.p50_ms:.1f} ms, p95 {progress.p95_ms:.1f} ms, p99 {progress.p99_ms:.1f} ms"
    )
    return table
