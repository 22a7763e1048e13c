"""The promises of the whole tree: the direction of dependencies, and lock files that hold anywhere."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PYTHON_LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock"]
CLIENT_LOCK = "client/package-lock.json"


def pins(lock: str) -> dict[str, frozenset[str]]:
    """The pinned requirements of a lock file, markers included, each with its hashes."""
    found = {}
    for line in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split("#")[0].split("--hash=")
        if requirement.strip():
            found[requirement.strip()] = frozenset(digest.strip() for digest in hashes)
    return found


def test_imports_keep_the_contracts() -> None:
    # In a process of its own: it silences every logger there is, which other tests listen to.
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


#: Packages that hand on what their modules have. No module of theirs asks them for it, so they are complete before
#: anybody uses them. Every other package imports nothing: to import a module is to import the packages above it.
HAND_ON = {"pulsebase", "pulsebase.decoding", "pulsebase.etl", "pulsebase.ingest", "pulsebase.testing"}


def test_no_module_imports_itself_by_a_detour() -> None:
    """Imports in functions and for types alone count, and so do the packages that an import loads on its way."""
    graph = grimp.build_graph("pulsebase", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    for name in graph.modules:
        parts = name.split(".")
        above = {".".join(parts[:length]) for length in range(1, len(parts))} - HAND_ON
        imports[name] |= {package for package in above if imports[package]}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


def test_no_two_public_classes_have_the_same_name() -> None:
    homes: dict[str, list[str]] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", PYTHON_LOCKS)
def test_every_python_package_is_pinned_with_hashes(lock: str) -> None:
    locked = pins(lock)
    assert locked
    assert [name for name, hashes in locked.items() if "==" not in name or not hashes] == []


def test_what_runs_is_what_was_tested() -> None:
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


@pytest.mark.parametrize("lock", PYTHON_LOCKS)
def test_a_python_lock_names_no_registry(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert [line for line in lines if "://" in line or "-url" in line or "find-links" in line] == []


def test_the_client_lock_names_no_registry() -> None:
    # Pages of funding and the like may be named; `resolved` is where a package would be fetched from.
    packages = json.loads((ROOT / CLIENT_LOCK).read_text())["packages"]
    assert [name for name, entry in packages.items() if "://" in entry.get("resolved", "")] == []
