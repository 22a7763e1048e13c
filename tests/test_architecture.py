"""The promises of the whole tree: the direction of dependencies, and lock files that hold anywhere."""

import json
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

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


def test_imports_keep_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


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
