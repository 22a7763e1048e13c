"""`check`: is the store sound?"""

from __future__ import annotations

from pulsebase.cli.output import console
from pulsebase.cli.session import answer_of, session
from pulsebase.settings import Settings


def run_check(settings: Settings) -> bool:
    """Run the check and print what it found. Return whether the store is sound."""
    with session(settings) as client:
        report = answer_of(client.post("/v1/admin/check"))
    console.print(
        f"{report['readings']:,} readings and {report['rollup_rows']:,} rollup rows compared.", highlight=False
    )
    for problem in report["problems"]:
        console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
    console.print("The store is sound." if not report["problems"] else "The store is NOT sound.", highlight=False)
    return not report["problems"]
