"""The dashboards are whole, and every query of theirs is one that Prometheus understands. What the dashboard of
readings asks is in `tests/api/test_influx_queries.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DASHBOARDS, DEPLOY, dashboard, queries, run

each_dashboard = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
PROVISIONING = DEPLOY / "grafana" / "provisioning"


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def test_there_is_a_dashboard_for_each_subject() -> None:
    titles = {dashboard(path)["title"] for path in DASHBOARDS}
    assert titles == {"API performance", "Heart-rate pipeline", "Containers and host", "Database", "Readings"}
    assert len({dashboard(path)["uid"] for path in DASHBOARDS}) == len(DASHBOARDS)


@each_dashboard
def test_panels_stand_side_by_side(path: Path) -> None:
    shown = dashboard(path)["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@each_dashboard
def test_every_panel_asks_the_source_that_is_provided(path: Path) -> None:
    name = "pulsebase.yml" if path.stem == "readings" else "prometheus.yml"
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / name).read_text())["datasources"]
    for panel in panels(path):
        assert panel["targets"], panel["title"]
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"] == {"type": source["type"], "uid": source["uid"]}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    asked = [{"record": f"query:{number}", "expr": query.over("1m")} for number, query in enumerate(queries())]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": asked}]}))
    assert f"SUCCESS: {len(asked)} rules found" in run("promtool", "check", "rules", str(path))
