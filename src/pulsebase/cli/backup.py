"""`backup`: copy the store into a folder, from which it can be opened."""

from __future__ import annotations

from pathlib import Path

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.settings import Settings


def run_backup(settings: Settings, destination: Path) -> None:
    """Write the copy and say how to open it."""
    with session(settings) as client:
        report = answer_of(client.post("/v1/admin/backup", json={"folder": str(destination.absolute())}))
    text = f"{report['size_bytes']:,} bytes copied to {report['folder']}. To open the copy:"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    url = f"  pulsebase serve --store duckdb:///{report['database']}"
    console.print(url, markup=False, highlight=False, soft_wrap=True)
