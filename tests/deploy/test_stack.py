"""Prometheus and Alertmanager, with the files of `deploy/`, watch a server that works and then is gone.

Only addresses, intervals and patience are changed in the files. What containers, a database server and a cluster
tell is not there; the syntax of those queries is checked elsewhere.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from pulsebase.model.timerange import format_us
from tests.deploy.files import PROMETHEUS, RULES, alertmanager_configuration, queries, rules
from tests.support.process import Place, Server, serving, wait_until
from tests.support.programs import free_port, running

_ELSEWHERE = re.compile(
    r"\b((container|pg)_\w+|pulsebase_store_(reachable_shards|shards|most_parts|commit_in_flight_seconds)\b)"
)


class Webhook:
    """Takes what Alertmanager sends."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        alerts = self.alerts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                alerts.extend(body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        thread.join()
        hook.server.server_close()


@contextlib.contextmanager
def busy(server: Server) -> Iterator[None]:
    """Requests of every kind that the dashboards show, again and again."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep_busy, args=(server, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_busy(server: Server, stop: threading.Event) -> None:
    def reading(second: int, heart_rate: float) -> dict[str, Any]:
        at = format_us(1_704_067_200_000_000 + second * 1_000_000)
        return {"user_id": "watched", "device_id": "strap", "timestamp": at, "heart_rate": heart_rate}

    month = {"user_id": "watched", "start_date": "2024-01-01", "end_date": "2024-02-01"}
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        second = 0
        while not stop.wait(0.2):
            batch = [reading(second, 70), reading(second + 1, 71), reading(second + 2, 10)]
            client.post("/v1/metrics/heart-rate/batch", json={"readings": batch})
            client.post("/metrics/heart-rate", json=batch[0])
            lines = "".join(json.dumps(each) + "\n" for each in batch)
            client.post("/v1/metrics/heart-rate/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"})
            for interval in ("1m", "1h", "1d", "raw"):  # with so few rows allowed, the last one is refused in the end
                client.get("/v1/timeseries", params=month | {"interval": interval})
            hours = {"start": "2024-01-01", "end": "2024-02-01"}
            client.get("/v1/users/watched/heart-rate/top-hours", params=hours)
            second += 3


@contextlib.contextmanager
def prometheus(folder: Path, targets: dict[str, str], alertmanager: str) -> Iterator[str]:
    """Prometheus with our files, scraping and judging every second and alerting at once; its address."""
    (folder / "rules").mkdir()
    for path in RULES:
        hasty = re.sub(r"^(\s+)(for|interval): .*$", r"\1\2: 1s", path.read_text(), flags=re.MULTILINE)
        (folder / "rules" / path.name).write_text(hasty)
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    configuration["global"] = dict.fromkeys(configuration["global"], "1s")
    configuration["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    for name, target in targets.items():
        jobs[name]["static_configs"] = [jobs[name]["static_configs"][0] | {"targets": [target]}]
    del jobs["pulsebase"]["authorization"]  # on loopback access is off
    configuration["scrape_configs"] = [jobs[name] for name in targets]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    url = f"127.0.0.1:{free_port()}"
    options = ("--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={url}")
    with running("prometheus", *options, folder=folder, ready=f"http://{url}/-/ready"):
        yield f"http://{url}"


@contextlib.contextmanager
def alertmanager(folder: Path, hook: Webhook) -> Iterator[str]:
    configuration = yaml.safe_load(alertmanager_configuration(hook.url))
    configuration["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    options = (
        "--config.file=alertmanager.yml",
        "--storage.path=alerts",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    with running("prometheus-alertmanager", *options, folder=folder, ready=f"http://{address}/-/ready"):
        yield address


@contextlib.contextmanager
def node_exporter(folder: Path) -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    option = f"--web.listen-address={address}"
    with running("prometheus-node-exporter", option, folder=folder, ready=f"http://{address}/"):
        yield address


class Asked:
    """A Prometheus that can be asked."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def values(self, expression: str) -> list[float]:
        """What the query gives now, leaving out what is not a number."""
        answer = self.client.post("/api/v1/query", data={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found = [float(result["value"][1]) for result in answer["data"]["result"]]
        return [value for value in found if not math.isnan(value)]

    def rules(self) -> list[dict[str, Any]]:
        groups = self.client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def wanted_queries() -> set[str]:
    """Panels and recorded values of ours as they are; of alerts and of the host the series they go by."""
    panels = {query.over("10s") for query in queries()}
    asked = {expression for expression in panels if not re.search(r"\bnode_", expression)}
    asked |= {rule["record"] for rule in rules() if "record" in rule}
    others = (panels - asked) | {rule["expr"] for rule in rules() if "alert" in rule}
    asked |= {name for each in others for name in re.findall(r"(?<![:\w])(?:node|pulsebase)_\w+(?![:\w])", each)}
    return {expression for expression in asked if not _ELSEWHERE.search(expression)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


def test_panels_and_rules_have_data_and_an_alert_reaches_the_webhook(folder: Path) -> None:
    place = Place(folder / "pulse", merge_interval_s="1", max_rows="5")
    with contextlib.ExitStack() as stack:
        hook = stack.enter_context(webhook())
        notified = stack.enter_context(alertmanager(folder, hook))
        host = stack.enter_context(node_exporter(folder))
        server = stack.enter_context(serving(place, "--days", "1", command="demo"))
        targets = {"pulsebase": server.url.removeprefix("http://"), "host": host}
        url = stack.enter_context(prometheus(folder, targets, notified))
        asked = Asked(stack.enter_context(httpx.Client(base_url=url, trust_env=False)))
        missing = wanted_queries()
        assert len(missing) > 60

        def all_answered() -> bool:
            missing.difference_update([expression for expression in missing if asked.values(expression)])
            return not missing

        with busy(server):
            with contextlib.suppress(AssertionError):
                wait_until(all_answered, "data for every query", 60)
            assert missing == set()
        assert {rule["health"] for rule in asked.rules()} == {"ok"}
        assert "PulsebaseDown" not in {alert["labels"]["alertname"] for alert in hook.alerts}
        server.stop()
        wait_until(lambda: "PulsebaseDown" in {alert["labels"]["alertname"] for alert in hook.alerts}, "the alert")
        (told,) = {json.dumps(alert) for alert in hook.alerts if alert["labels"]["alertname"] == "PulsebaseDown"}
        alert = json.loads(told)
        assert (alert["status"], alert["labels"]["role"]) == ("firing", "api")
        assert alert["annotations"]["runbook_url"].endswith("#pulsebasedown")
