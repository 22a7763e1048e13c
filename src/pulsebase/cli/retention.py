"""`retention`: expire raw readings that are older than the retention period."""

from __future__ import annotations

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.settings import Settings


def run_retention(settings: Settings, *, dry_run: bool) -> None:
    """Expire readings now, or only count them, and print how many."""
    with session(settings) as client:
        found = answer_of(client.post("/v1/admin/retention", json={"dry_run": dry_run}))
    if found["horizon"] is None:
        text = "Readings are kept forever: PULSEBASE_RETENTION_DAYS is 0."
    else:
        said = "would expire" if dry_run else "expired"
        text = f"{found['readings']:,} readings before {found['horizon']} {said}."
    console.print(text, markup=False, highlight=False, soft_wrap=True)
