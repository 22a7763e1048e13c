"""What a built package holds."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"


def test_a_wheel_holds_the_page_and_its_types_or_is_not_made(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("page", "__pycache__"))
    refused = build(checkout, tmp_path)
    assert refused.returncode != 0
    assert "make client" in refused.stderr
    page = checkout / "src" / "pulsebase" / "api" / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    made = build(checkout, tmp_path)
    assert made.returncode == 0, made.stderr
    names = zipfile.ZipFile(tmp_path / made.stdout.strip()).namelist()
    assert {"pulsebase/api/page/index.html", "pulsebase/py.typed", "pulsebase/library/client.py"} <= set(names)


def build(checkout: Path, into: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", BUILD, str(into)], cwd=checkout, capture_output=True, text=True, timeout=120, check=False
    )
