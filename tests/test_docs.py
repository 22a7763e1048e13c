"""What is public is documented, what is documented exists, and what a document shows was run."""

from __future__ import annotations

import contextlib
import doctest
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click import Command
from pydantic import AliasChoices
from pydantic_core import PydanticUndefined
from starlette.routing import Route

from pulsebase import telemetry
from pulsebase.access.scopes import NEEDS, need_of
from pulsebase.api.border.late_routes import LateRoute
from pulsebase.api.border.problems import PROBLEMS
from pulsebase.api.openapi import HIDDEN_PARAMETERS
from pulsebase.cli.app import app as command_line
from pulsebase.settings import Settings
from pulsebase.stores.duckdb.engine.migrate import migrations
from pulsebase.stores.postgres.roles import API, EXPORTER, OWNER
from pulsebase.wiring import build
from tests.support.forks import fork_command

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = sorted([*ROOT.glob("*.md"), ROOT / "client" / "README.md", *(ROOT / "docs").rglob("*.md")])
WALKTHROUGHS = [path for path in DOCUMENTS if "```console\n" in path.read_text()]
ADDRESS = "127.0.0.1:8000"
#: What Prometheus and our server put behind the name of a metric.
SHOWN_SUFFIX = re.compile(r"_(total|created|bucket|sum|count)$")
#: What simulated clouds answer, which are servers of their own.
SIMULATORS = "/control/"
TOP_FOLDERS = "benchmarks|client|deploy|docs|scripts|src|tests"
#: Set up or built, or somebody's own.
NOT_OURS = {".git", ".venv", "node_modules", "__pycache__", "page", "secrets", ".hypothesis", ".mypy_cache"}
CODE = (".css", ".html", ".mjs", ".py", ".sql", ".toml", ".ts", ".tsx", ".yaml", ".yml")
#: Pages for those who change the code.
ABOUT_CODE = ("ARCHITECTURE.md", "CONTRIBUTING.md", "where-things-are.md", "writing-a-store.md")
#: At the root that path is Prometheus's.
LIST_OF_METRICS = "GET /v1/metrics"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)


def rows(path: Path, columns: int) -> list[tuple[str, ...]]:
    """The first cells of the table rows of a page whose first cell is in backticks."""
    found = re.findall(r"^\| `.*$", path.read_text(), re.MULTILINE)
    return [tuple(cell.strip() for cell in line.strip("|").split("|")[:columns]) for line in found]


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)


def coded(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@dataclass(frozen=True)
class Tree:
    """The files and folders of the checkout, by their paths from its root."""

    files: frozenset[str]
    folders: frozenset[str]

    def has(self, name: str, document: Path) -> bool:
        """Whether a document may name this: from the root, the package or its own folder, or by its end."""
        if set(name.split("/")) & (NOT_OURS | {".env"}):
            return True
        bare = name.rstrip("/")
        places = {bare, f"src/pulsebase/{bare}", f"{document.parent.relative_to(ROOT)}/{bare}"}
        known = self.folders if name.endswith("/") else self.files | self.folders
        if "*" in bare:
            return any(fnmatch(each, place) for place in places for each in known)
        return bool(places & known) or (bare.count("/") < 2 and any(each.endswith(f"/{bare}") for each in known))


def is_path_in_code(code: str) -> bool:
    """Whether what stands in backticks is the path or the name of a file of ours, rather than of somebody's data."""
    return re.fullmatch(r"[\w.*-]+(?:/[\w.*-]+)*", code) is not None and code.endswith(CODE)


# --- what there is -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Api:
    routes: set[str]  # GET /health
    parameters: set[str]


@pytest.fixture(scope="module")
def api() -> Api:
    routes, parameters = set(), set(HIDDEN_PARAMETERS)
    with build(Settings.model_construct(store_url="memory://")) as parts:
        paths = {**parts.app.openapi()["paths"], **parts.app.owner_openapi()["paths"]}
        for path, operations in paths.items():
            for method, operation in operations.items():
                routes.add(f"{method.upper()} {path}")
                parameters |= {parameter["name"] for parameter in operation.get("parameters", [])}
        for route in parts.app.routes:
            if isinstance(route, Route) and not isinstance(route, LateRoute):  # those are in the document
                path = route.path.rstrip("/") or "/"
                routes |= {f"{method} {path}" for method in route.methods or () if method in METHODS}
    return Api(routes, parameters)


def commands() -> dict[str, Command]:
    """Every command by what is typed: `serve`, `users list`."""
    return dict(commands_of(typer.main.get_command(command_line)))


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{prefix}{name} ")
        elif not command.hidden:  # former names work, and are told beside the present ones
            yield prefix + name, command


def setting_names() -> set[str]:
    return {f"PULSEBASE_{name.upper()}" for name in Settings.model_fields}


def former_names() -> set[str]:
    """Names of settings that are still read."""
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    choices = {str(name) for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices}
    return {name for name in choices if name.startswith("PULSEBASE_")} - setting_names()


def families() -> dict[str, str]:
    return {family.name: family.type for family in telemetry.REGISTRY.collect()}


# --- what is public is documented, and nothing else ----------------------------------------------------------------


def test_every_setting_is_documented_with_its_default() -> None:
    documented = {
        coded(name)[0]: default for name, default in rows(REFERENCE / "settings.md", 2) if "PULSEBASE" in name
    }
    assert documented.keys() == setting_names()
    for name, field in Settings.model_fields.items():
        default = field.default
        if default is not PydanticUndefined:
            shown = json.dumps(default) if isinstance(default, tuple) else str(default)
            assert documented[f"PULSEBASE_{name.upper()}"] == f"`{shown}`"


def test_every_metric_is_documented_with_its_kind() -> None:
    documented = {coded(name)[0]: kind for name, kind in rows(REFERENCE / "metrics.md", 2)}
    assert documented == families()


def test_every_metric_of_ours_is_documented_with_its_labels() -> None:
    documented = {coded(name)[0]: tuple(coded(labels)) for name, _, labels in rows(REFERENCE / "metrics.md", 3)}
    ours = telemetry.declared()
    assert ours
    assert {metric._name: documented[metric._name] for metric in ours} == {
        metric._name: tuple(metric._labelnames) for metric in ours
    }


def test_every_problem_is_documented_with_its_status() -> None:
    documented = {coded(slug)[0]: status for slug, status in rows(REFERENCE / "errors.md", 2)}
    refusals = {"user_id", "device_id", "timestamp", "heart_rate", "confidence"}
    documented = {slug: status for slug, status in documented.items() if slug not in refusals}
    assert documented == {slug: str(status) for slug, (status, _) in PROBLEMS.items()}


def test_every_route_is_documented(api: Api) -> None:
    documented = {coded(row[0])[0] for row in rows(REFERENCE / "http.md", 1)}
    assert {name for name in documented if name.startswith(METHODS)} == api.routes


def test_every_route_is_documented_with_what_it_takes() -> None:
    documented = {coded(route)[0]: need for route, need in rows(REFERENCE / "http.md", 2)}
    assert documented.pop(LIST_OF_METRICS) == need_of(*LIST_OF_METRICS.split()) == "open"
    found = {name.replace(" /v1/", " /"): need for name, need in documented.items() if name.startswith(METHODS)}
    assert found == {name: need for name, need in NEEDS.items() if name != "GET /app/"}


def test_every_parameter_is_documented(api: Api) -> None:
    section = (REFERENCE / "http.md").read_text().split("## Parameters")[1].split("\n## ")[0]
    names = [coded(line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    assert {name for cell in names for name in cell} == api.parameters


def test_every_command_is_documented_with_its_options() -> None:
    sections = (REFERENCE / "cli.md").read_text().split("\n## pulsebase ")[1:]
    known = commands()
    titles = {section: section.splitlines()[0] for section in sections}
    # A title is a command and what it takes: USER_ID, FILE...
    documented = {re.split(r" (?=[A-Z\[])", title)[0]: section for section, title in titles.items()}
    assert documented.keys() == known.keys()
    for name, command in known.items():
        parts = [command, *getattr(command, "commands", {}).values()]  # a group is documented with its commands
        options = {option for part in parts for each in part.params for option in each.opts if option.startswith("--")}
        cells = {cell for row in re.findall(r"^\| (`--.*?) \|", documented[name], re.MULTILINE) for cell in coded(row)}
        assert cells == options, name


def test_every_table_of_the_embedded_store_is_documented() -> None:
    documented = {name for row in rows(REFERENCE / "storage.md", 1) for name in coded(row[0])}
    tables = {name for _, sql in migrations() for name in re.findall(r"CREATE TABLE (\w+)", sql)}
    assert tables <= documented


# --- what is documented exists -------------------------------------------------------------------------------------


def links(path: Path) -> list[Path]:
    """The files that a document's relative links lead to."""
    text = prose(path)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    return [(path.parent / target.split("#")[0]).resolve() for target in targets]


@each_document
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    assert [str(target) for target in links(path) if not target.exists()] == []


@each_document
def test_every_link_to_a_heading_leads_to_one(path: Path) -> None:
    found = re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", path.read_text())
    targets = [(path if not target else (path.parent / target).resolve(), anchor) for target, anchor in found]
    assert [f"{target.name}#{anchor}" for target, anchor in targets if anchor not in anchors(target)] == []


def anchors(path: Path) -> set[str]:
    """What links to a page's headings end with, as forges make them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def tree() -> Tree:
    """Every file of the checkout that a document may name, by its path from the root, and every folder."""
    files, folders = set(), set()
    for place, inner, names in os.walk(ROOT):
        inner[:] = [name for name in inner if name not in NOT_OURS]
        below = Path(place).relative_to(ROOT)
        files |= {str(below / name) for name in names}
        folders |= {str(below / name) for name in inner}
    return Tree(frozenset(files), frozenset(folders))


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.parent.name != "decisions"], ids=name_of)
def test_a_document_names_files_that_exist(path: Path, tree: Tree) -> None:
    text = path.read_text()
    named = re.findall(rf"(?<![\w/.:*-])((?:{TOP_FOLDERS})/[\w./*-]*)", text)
    named += [code for code in coded(prose(path)) if is_path_in_code(code)]
    if path.name in ABOUT_CODE:  # elsewhere a name with a slash may be of a folder with data
        named += re.findall(r"`(\w+/)`", text)
    assert sorted({name for name in named if not tree.has(name.partition("::")[0].rstrip("."), path)}) == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            ahead += links(path)
    assert [name_of(path) for path in DOCUMENTS if path not in reached] == []


@each_document
def test_a_document_names_settings_that_exist(path: Path) -> None:
    named = {name for name in re.findall(r"PULSEBASE_[A-Z0-9_]+", path.read_text()) if "_TEST_" not in name}
    assert named <= setting_names() | former_names()


@each_document
def test_a_document_names_metrics_that_exist(path: Path) -> None:
    known = families().keys() | {OWNER, API, EXPORTER}  # roles of the database have names of that kind
    named = re.findall(r"\bpulsebase_(?!\w*\.)\w+", path.read_text())
    assert {name for name in named if SHOWN_SUFFIX.sub("", name) not in known and name not in known} == set()


@each_document
def test_a_document_names_commands_that_exist(path: Path) -> None:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", path.read_text(), re.DOTALL)
    text = "\n".join([*blocks, *re.findall(r"`(pulsebase [^`]+)`", path.read_text())])
    named = set(re.findall(r"(?<![\w/.])pulsebase ([a-z][\w-]*)", text))
    group: Any = typer.main.get_command(command_line)
    assert named <= group.commands.keys()  # former names too
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = re.findall(r"`make ([a-z]+)", path.read_text()) + re.findall(r"^make ([a-z]+)", text, re.MULTILINE)
    assert set(asked) <= targets


@each_document
def test_a_document_gives_commands_options_that_they_have(path: Path) -> None:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", path.read_text(), re.DOTALL)
    typed = re.sub(r"\\\n\s*", "", "\n".join(blocks)).splitlines() + coded(prose(path))
    known = commands()
    for line in typed:
        for words in re.findall(r"(?<![\w/.])pulsebase ((?:[a-z][\w-]* ?){1,3}[^|;&>\n]*)", line):
            named = [" ".join(words.split()[:count]) for count in (2, 1)]
            command = next((known[name] for name in named if name in known), None)
            options = set(re.findall(r"(?<=\s)(--[a-z][\w-]*)", words)) - {"--help"}
            if command is not None:
                assert options <= {option for each in command.params for option in each.opts}, line


@each_document
def test_a_document_names_methods_that_routes_have(path: Path, api: Api) -> None:
    named = set(re.findall(r"\b(GET|HEAD|POST|PUT|PATCH|DELETE) `?(/[\w/{}.-]*)", path.read_text()))
    found = {(method, place.rstrip("/.") or "/") for method, place in named if not place.startswith(SIMULATORS)}
    assert {each for each in found if not is_route(*each, api)} == set()


def is_route(method: str, place: str, api: Api) -> bool:
    """Whether there is such a route, with or without `/v1`; a name in braces stands for itself or for a value."""
    for route in api.routes:
        known, template = route.split()
        same = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        is_method = known == method or (known, method) == ("GET", "HEAD")
        if is_method and re.fullmatch(same, place if place.startswith("/v1") or place == template else f"/v1{place}"):
            return True
    return False


@each_document
def test_a_document_names_routes_that_exist(path: Path, api: Api) -> None:
    paths = {route.split()[1] for route in api.routes} | {"/v1", "/v1/admin"}
    templates = [re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))) for template in paths]
    named = {found.rstrip("/") for found in re.findall(r"(?<!\w)/v1[\w/{}-]*", path.read_text())}
    assert {name for name in named if not any(template.fullmatch(name) for template in templates)} == set()


# --- what a document shows was run ---------------------------------------------------------------------------------


#: Variables, patterns, pipes and all else that a shell takes its own way.
NEEDS_SHELL = re.compile(r"[$`|&;<>(){}*?~!#]|\[")


@dataclass(frozen=True)
class Place:
    """A folder with a running server, and the environment in which documents expect their commands to be typed."""

    folder: Path
    address: str
    environment: dict[str, str]
    #: Whether commands that need no shell are forks: the same, without the wait for imports.
    forks: bool

    def run(self, command: str) -> str:
        typed = command.replace(ADDRESS, self.address).replace("pulsebase connect", "pulsebase connect --port 0")
        with tempfile.TemporaryFile() as said:
            if self.forks and typed.startswith("pulsebase ") and not NEEDS_SHELL.search(typed):
                words = shlex.split(typed.replace("\\\n", " "))[1:]
                fork_command(words, cwd=self.folder, env=self.environment, stdout=said, stderr=said).wait(60)
            else:
                subprocess.run(
                    typed,
                    shell=True,
                    cwd=self.folder,
                    env=self.environment,
                    stdout=said,
                    stderr=said,
                    timeout=60,
                    check=False,
                )
            said.seek(0)
            return "\n".join(line.rstrip() for line in said.read().decode().strip().splitlines())


@contextmanager
def served(folder: Path, *, with_cloud: bool = False, forks: bool = True) -> Iterator[Place]:
    bin_folder = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")} | {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PULSEBASE_STORE_URL": "duckdb:///pulse.duckdb",
        "PULSEBASE_WEBHOOK_PRIVATE_NETWORKS": '["127.0.0.0/8"]',
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
        "TERM": "dumb",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }
    with ExitStack() as opened:
        if with_cloud:
            cloud = opened.enter_context(foreground("fitbit-sim", folder, environment, r"http://[\d.:]+"))
            yesterday = datetime.now(UTC).date() - timedelta(days=1)
            browser = "curl -sL -o consent.html %s&person=user1 &"  # somebody who chooses and agrees
            environment |= {"PULSEBASE_FITBIT_URL": cloud, "START_DATE": str(yesterday), "BROWSER": browser}
        server = opened.enter_context(foreground("serve", folder, environment, r"(?<=http://)[\d.:]+(?=/app/)"))
        yield Place(folder, server, environment, forks)


@contextmanager
def foreground(name: str, folder: Path, environment: dict[str, str], says: str) -> Iterator[str]:
    """A command that runs until it is told to end, and what it says of where it is."""
    command = [str(Path(sys.executable).parent / "pulsebase"), name, "--port", "0"]
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(says, process.stdout.readline())
            assert found, (folder / f"{name}.log").read_text()
            yield found[0]
        finally:
            process.terminate()
        assert process.wait(120) == 0


def examples(path: Path) -> list[tuple[str, str]]:
    """Each command of the `console` blocks with the output shown. A command goes on in lines indented by four."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", path.read_text(), re.DOTALL):
        for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            match = re.match(r"([^\n]*\n(?:    [^\n]*\n)*)(.*)", example, re.DOTALL)
            assert match
            found.append((match[1].strip(), match[2].strip()))
    return found


def agrees(shown: str, output: str) -> bool:
    """Whether the output is the one shown, where `…` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), output, re.DOTALL) is not None


@pytest.mark.parametrize("path", WALKTHROUGHS, ids=name_of)
def test_the_commands_of_a_document_give_the_output_shown(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")  # plots of sessions are drawn into files
    commands_shown = examples(path)
    with_cloud = any(command.startswith("pulsebase connect") for command, _ in commands_shown)
    forks = path.stem != "walkthrough"  # which shows that installed commands are the same
    with served(tmp_path, with_cloud=with_cloud, forks=forks) as place:
        for command, shown in commands_shown:
            output = place.run(command)
            give_up_at = time.monotonic() + 60
            while command.startswith("sleep ") and not agrees(shown, output) and time.monotonic() < give_up_at:
                output = place.run(command)  # a reader, too, looks again on a slow machine
            assert agrees(shown, output), f"{command}\n--- shown\n{shown}\n--- given\n{output}"
        hold_session(path, tmp_path, place.address)


def hold_session(path: Path, folder: Path, address: str) -> None:
    """Run the `pycon` blocks of a document as one Python session, on what its commands left behind."""
    text = "\n".join(re.findall(r"```pycon\n(.*?)```", path.read_text(), re.DOTALL)).replace(ADDRESS, address)
    session = doctest.DocTestParser().get_doctest(text, {}, name_of(path), str(path), 0)
    said: list[str] = []
    with contextlib.chdir(folder):
        results = doctest.DocTestRunner(verbose=False).run(session, out=said.append)
    assert results.failed == 0, "".join(said)


def test_every_v1_route_also_answers_without_v1(api: Api, tmp_path: Path) -> None:
    versioned = [route.split() for route in sorted(api.routes) if "/v1/" in route and "/admin/" not in route]
    assert versioned
    with served(tmp_path) as place:
        for method, path in versioned:
            filled = path.removeprefix("/v1").replace("{metric}", "rr-interval")
            request = urllib.request.Request(f"http://{place.address}{filled}", method=method)
            assert status_of(request) in (200, 400, 415), f"{method} {path}"  # asked without parameters or a body


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
