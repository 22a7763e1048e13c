"""Prometheus takes configuration and rules, every alert fires when it should and at no other time, and has a section
in the runbook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulsebase import telemetry
from tests.deploy.files import PROMETHEUS, RULES, RUNBOOK, alertmanager_configuration, alerts, queries, rules, run

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = yaml.safe_load((HERE / "alerts.yml").read_text())


def test_prometheus_takes_configuration_and_rules(tmp_path: Path) -> None:
    (tmp_path / "rules").symlink_to(PROMETHEUS.parent / "rules")
    (tmp_path / "key").touch()  # it looks whether the file is there
    text = PROMETHEUS.read_text().replace("/run/secrets/metrics-key", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(text)
    said = run("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert f"SUCCESS: {len(RULES)} rule files found" in said


def test_alertmanager_takes_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(alertmanager_configuration("http://127.0.0.1:9/alerts"))
    assert "SUCCESS" in run("amtool", "check-config", str(tmp_path / "alertmanager.yml"))


def test_every_alert_is_tried_both_ways() -> None:
    assert {case["alert"] for case in CASES if case["fires"] and case["quiet"]} == alerts().keys()
    waiting = {name for name, rule in alerts().items() if "for" in rule}
    assert {case["alert"] for case in CASES if "not_yet" in case} == waiting
    assert {case["at"][-1] for case in CASES} == {"m", "h"}


@pytest.mark.parametrize(("unit", "evaluated"), [("m", "1m"), ("h", "10m")], ids=["in minutes", "in hours"])
def test_alerts_fire_when_they_should_and_at_no_other_time(unit: str, evaluated: str, tmp_path: Path) -> None:
    tests = [each for case in CASES if case["at"].endswith(unit) for each in (firing(case), quiet(case))]
    files = {"rule_files": [str(path) for path in RULES], "evaluation_interval": evaluated, "tests": tests}
    (tmp_path / "alerts.test.yml").write_text(yaml.safe_dump(files))
    assert "SUCCESS" in run("promtool", "test", "rules", str(tmp_path / "alerts.test.yml"))


def firing(case: Mapping[str, Any]) -> dict[str, Any]:
    expected = {
        "exp_labels": case["labels"],
        "exp_annotations": {
            "summary": case["summary"],
            "runbook_url": f"docs/guide/monitoring.md#{case['alert'].lower()}",
        },
    }
    asked = [{"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": [expected]}]
    if "not_yet" in case:
        asked.append({"eval_time": case["not_yet"], "alertname": case["alert"], "exp_alerts": []})
    return tried(case["alert"] + " fires", case["fires"], asked)


def quiet(case: Mapping[str, Any]) -> dict[str, Any]:
    asked = [{"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": []}]
    return tried(case["alert"] + " is quiet", case["quiet"], asked)


def tried(name: str, series: Mapping[str, str], asked: list[dict[str, Any]]) -> dict[str, Any]:
    given = [{"series": series_name, "values": values} for series_name, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": given, "alert_rule_test": asked}


def test_the_objective_of_top_hours_is_judged_as_it_says(tmp_path: Path) -> None:
    (queries_rules,) = [path for path in RULES if path.name == "queries.yml"]
    cases = tmp_path / "queries.test.yml"
    cases.write_text((HERE / "queries.test.yml").read_text().replace("- RULES", f"- {queries_rules}"))
    assert "SUCCESS" in run("promtool", "test", "rules", str(cases))


def test_every_alert_leads_to_its_section_of_the_runbook() -> None:
    headings = re.findall(r"^#+ (.*)$", RUNBOOK.read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for name, rule in alerts().items():
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/guide/monitoring.md", name
        assert anchor == name.lower()
        assert anchor in anchors


def test_rules_and_panels_ask_for_series_that_the_server_gives() -> None:
    telemetry.STORE_QUERY_SECONDS.labels("top_hours", "1h")
    bounds = {
        sample.labels["le"]
        for family in telemetry.REGISTRY.collect()
        for sample in family.samples
        if sample.name == "pulsebase_store_query_seconds_bucket"
    }
    asked = [rule["expr"] for rule in rules()] + [query.expression for query in queries()]
    labels = names_of_samples()
    for expression in asked:
        for name, selector in re.findall(r"(?<![:\w])(pulsebase_\w+)(?:\{([^}]*)\})?", expression):
            assert name in labels, expression
            named = set(re.findall(r'(\w+)\s*[=!]~?"', selector))
            assert named <= labels[name] | {"job", "instance", "role"}, expression
            assert set(re.findall(r'le="([^"]+)"', selector)) <= bounds


def names_of_samples() -> dict[str, set[str]]:
    """The labels of every series of ours by its name, as Prometheus stores it."""
    found: dict[str, set[str]] = {}
    for metric in telemetry.declared():
        own = set(metric._labelnames)
        suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_sum", "_count"]}[str(metric._type)]
        found |= {metric._name + suffix: own for suffix in suffixes}
        if metric._type == "histogram":
            found[metric._name + "_bucket"] = own | {"le"}
    return found


def test_operators_are_told_of_the_files() -> None:
    for told in ("deploy/prometheus/rules", "deploy/alertmanager", "deploy/grafana"):
        assert told in RUNBOOK.read_text()
