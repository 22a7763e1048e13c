"""Prometheus takes the rules, they do what they say, and they ask for what the server gives."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pulsebase import telemetry
from tests.support.needs import need_program

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules" / "queries.yml"
CASES = Path(__file__).with_name("queries.test.yml")


def promtool(*arguments: str) -> str:
    need_program("promtool")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    assert "SUCCESS: 3 rules found" in promtool("check", "rules", str(RULES))


def test_the_rules_do_what_they_say(tmp_path: Path) -> None:
    cases = tmp_path / "queries.test.yml"
    cases.write_text(CASES.read_text().replace("- RULES", f"- {RULES}"))
    assert "SUCCESS" in promtool("test", "rules", str(cases))


def test_the_rules_ask_for_series_that_the_server_gives() -> None:
    telemetry.STORE_QUERY_SECONDS.labels("top_hours", "1h")
    given = {
        (sample.name, sample.labels.get("le"))
        for family in telemetry.REGISTRY.collect()
        for sample in family.samples
        if sample.labels.get("kind") == "top_hours"
    }
    asked = re.findall(r"\b(pulsebase_store_\w+)\{([^}]*)\}", RULES.read_text())
    assert len(asked) == 2
    for name, labels in asked:
        within = re.search(r'le="([^"]+)"', labels)
        assert (name, within and within[1]) in given


def test_operators_are_told_of_the_rules() -> None:
    assert str(RULES.relative_to(ROOT)) in (ROOT / "docs" / "guide" / "operating.md").read_text()
