"""What lies under `deploy/`, read for the tests."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.needs import need_program

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
ALERTMANAGER = DEPLOY / "alertmanager" / "alertmanager.yml"
RUNBOOK = ROOT / "docs" / "guide" / "monitoring.md"


def run(*command: str) -> str:
    """A program's output, both streams; it must succeed."""
    need_program(command[0])
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """Every rule, recording or alerting."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard as Grafana would be given it."""
    read: dict[str, Any] = json.loads(path.read_text())
    return read


@dataclass(frozen=True)
class Query:
    """What a panel asks."""

    dashboard: str
    panel: str
    expression: str

    def over(self, interval: str) -> str:
        """The expression as Grafana would send it, with this length for its own variable."""
        return self.expression.replace("$__rate_interval", interval)


def queries() -> Iterator[Query]:
    """Every query of every panel of every dashboard that asks Prometheus."""
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel.get("targets", ()):
                if "expr" in target:
                    yield Query(path.stem, panel["title"], target["expr"])


def alertmanager_configuration(webhook_url: str) -> str:
    """The configuration with this webhook. Debian's Alertmanager is older than `url_file`: the address stands in it."""
    text = ALERTMANAGER.read_text()
    assert text.count("url_file: /run/secrets/alert-webhook-url") == 1
    return text.replace("url_file: /run/secrets/alert-webhook-url", f"url: {webhook_url}")
