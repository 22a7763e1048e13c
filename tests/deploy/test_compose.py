"""The files for containers: whole, narrow, and consistent with each other. No engine is needed."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulsebase.stores.postgres.roles import API, EXPORTER
from tests.deploy.compose import COMPOSE, MissingVariableError, composed
from tests.deploy.files import DEPLOY, PROMETHEUS, ROOT

FILLED = {
    "DB_PASSWORD": "of the superuser",
    "DB_API_PASSWORD": "of the api",
    "DB_EXPORTER_PASSWORD": "of the exporter",
    "GRAFANA_PASSWORD": "any",
}
OURS = {"db-init-service", "ingestion-user1", "ingestion-user2", "api-service"}
STACK = {
    "timescaledb",
    "client-service",
    "prometheus",
    "grafana",
    "alertmanager",
    "cadvisor",
    "node-exporter",
    "postgres-exporter",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = composed(FILLED)["services"]
    return found


def test_every_role_is_there_on_its_port_and_on_loopback_alone(services: dict[str, Any]) -> None:
    assert services.keys() == OURS | STACK
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {
        "timescaledb": ["127.0.0.1:5432:5432"],
        "api-service": ["127.0.0.1:8000:8000"],
        "client-service": ["127.0.0.1:3000:3000"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "alertmanager": ["127.0.0.1:9093:9093"],
        "grafana": ["127.0.0.1:3001:3000"],
        "cadvisor": ["127.0.0.1:8080:8080"],
    }


@pytest.mark.parametrize("missing", FILLED)
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_nothing_starts_without_a_password(missing: str, empty: bool) -> None:
    given = {name: value for name, value in FILLED.items() if name != missing} | ({missing: ""} if empty else {})
    with pytest.raises(MissingVariableError, match=f"set {missing} in deploy/.env"):
        composed(given)


def test_no_secret_stands_in_the_files() -> None:
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|TOKEN|KEY", name):
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value), name
    values = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert values == dict.fromkeys(FILLED, "")


def test_the_setting_up_alone_is_given_the_superusers_password(services: dict[str, Any]) -> None:
    given = {
        name: {value for value in service.get("environment", {}).values() if value in FILLED.values()}
        for name, service in services.items()
        if name != "grafana"
    }
    assert {name for name, values in given.items() if "of the superuser" in values} == {
        "timescaledb",
        "db-init-service",
    }
    assert {name for name, values in given.items() if values == {"of the api"}} == OURS - {"db-init-service"}
    assert {name for name, values in given.items() if values == {"of the exporter"}} == {"postgres-exporter"}
    users = {name: service.get("environment", {}).get("DB_USER") for name, service in services.items()}
    assert {users[name] for name in OURS - {"db-init-service"}} == {API}
    assert services["postgres-exporter"]["environment"]["DATA_SOURCE_USER"] == EXPORTER


def test_the_example_names_every_variable_and_no_other() -> None:
    named = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert named == set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))


def test_the_proxy_alone_is_believed_and_nobody_else_gets_its_address(services: dict[str, Any]) -> None:
    (believed,) = json.loads(services["api-service"]["environment"]["PULSEBASE_TRUSTED_PROXIES"])
    address = ipaddress.ip_address(believed)  # an address, no network
    held = {
        name: service["networks"]["default"]["ipv4_address"]
        for name, service in services.items()
        if "networks" in service
    }
    assert held == {"client-service": str(address)}
    (network,) = composed(FILLED)["networks"]["default"]["ipam"]["config"]
    assert address in ipaddress.ip_network(network["subnet"])
    assert address not in ipaddress.ip_network(network["ip_range"])


def test_every_image_of_others_can_be_held_by_digest() -> None:
    images = [service["image"] for service in yaml.safe_load(COMPOSE.read_text())["services"].values()]
    names = [re.fullmatch(r"\$\{([A-Z_]+_IMAGE):-.+\}", image) for image in images if image != "pulsebase:local"]
    assert all(names)
    digest = "@sha256:" + "0" * 64
    given = {name[1]: f"there/image:v1{digest}" for name in names if name}
    assert len(given) == len(STACK)
    held = composed(FILLED | given)["services"]
    assert {held[name]["image"] for name in STACK} == {f"there/image:v1{digest}"}


def test_the_unit_bounds_memory_and_tasks() -> None:
    text = (DEPLOY / "systemd" / "pulsebase.service").read_text()
    assert re.search(r"^MemoryMax=\d+%$", text, re.MULTILINE)
    assert re.search(r"^TasksMax=\d+$", text, re.MULTILINE)


def test_images_are_named_by_exact_version_where_they_are_maintained(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values()]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        # cAdvisor left the registry that needs no name in 2018; its project pushes to this one since 0.53.
        assert re.fullmatch(r"(ghcr\.io/)?[\w-]+(/[\w-]+)?:[\w.-]+", image), image
        assert not image.endswith(":latest")
    assert {image.split(":")[0] for image in images if image.startswith("ghcr.io/")} == {"ghcr.io/google/cadvisor"}
    for name in STACK:
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", services[name]["image"]), name


def test_what_is_mounted_and_what_is_waited_for_is_there(services: dict[str, Any]) -> None:
    volumes = composed(FILLED)["volumes"]
    secrets = composed(FILLED)["secrets"]
    for service in services.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
                assert mount.endswith(":ro"), mount
            elif not source.startswith("/"):
                assert source in volumes
        assert set(service.get("secrets", ())) <= secrets.keys()
        for other, condition in service.get("depends_on", {}).items():
            assert other in services
            if condition["condition"] == "service_completed_successfully":
                assert services[other]["restart"] == "no"


def test_our_roles_may_do_little(services: dict[str, Any]) -> None:
    for name in OURS | {"client-service"}:
        service = services[name]
        assert service["read_only"] is True
        assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_prometheus_scrapes_services_that_are_there(services: dict[str, Any]) -> None:
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    jobs = configuration["scrape_configs"] + configuration["alerting"]["alertmanagers"]
    targets = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}
    hosts = {target.split(":")[0] for target in targets}
    assert hosts - {"localhost"} <= services.keys()
    for name in ("ingestion-user1", "ingestion-user2"):
        assert f"{name}:{services[name]['environment']['PULSEBASE_METRICS_PORT']}" in targets


def test_the_image_is_built_from_files_that_are_sent_to_its_builder() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", text, re.MULTILINE)]
    sources = [source.rstrip("/") for line in copied for source in line]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert Path(source).parts[0] in sent, source
    last = text[text.rindex("\nFROM") :]
    assert re.search(r"^USER 10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
