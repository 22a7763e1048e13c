"""The test kit for those who write a store, as its guide shows it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parent.parent / "docs" / "guide" / "writing-a-store.md"
SOME_LAWS = "test_the_last_of_a_batch_wins or test_writing_nothing_changes_nothing"
FORGETFUL = """

class ForgetfulStore(MemoryStore):
    def write(self, batches):
        super().write(batches[:-1])
"""


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Some laws over what a file says, as whoever wrote it would run them."""
    (folder / "test_mine.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", SOME_LAWS, "test_mine.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def example() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return str(block)


def test_the_example_of_the_guide_passes(tmp_path: Path) -> None:
    done = run(tmp_path, example())
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_store_that_forgets_readings_does_not_pass(tmp_path: Path) -> None:
    head, rest = example().split("\n\n\nclass MyHarness", 1)
    broken = f"{head}\n{FORGETFUL}\n\nclass MyHarness{rest.replace('MemoryStore()', 'ForgetfulStore()')}"
    done = run(tmp_path, broken)
    assert done.returncode == 1, done.stdout
    assert "TestMyStore::test_the_last_of_a_batch_wins" in done.stdout


def test_without_the_libraries_it_says_which_to_install() -> None:
    program = """
import importlib.util
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "hypothesis" else there(name, *more)
import pulsebase.testing
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "ImportError: pulsebase.testing needs hypothesis: pip install hypothesis" in done.stderr
