"""A real demo server for the page's tests: its own process, store and port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_LIMIT_S = 60
STOP_LIMIT_S = 15
#: What the demo says once its two people are there.
COMPLETE = "readings are complete"
#: So few that a test can ask for more people than the server gives at once.
MAX_PEOPLE = 2


@contextmanager
def demo_server(folder: Path) -> Iterator[str]:
    """Run `pulsebase demo` over a few days; gives the address it said, without a path."""
    log = folder / "server.log"
    command = [str(Path(sys.executable).parent / "pulsebase"), "demo", "--port", "0", "--days", "3"]
    store = f"duckdb:///{folder / 'store.duckdb'}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PULSEBASE_")}
    environment |= {"PULSEBASE_STORE_URL": store, "PULSEBASE_MAX_PEOPLE": str(MAX_PEOPLE), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text(encoding="utf-8")
        said = re.search(r"http://[^/\s]+", text)
        if said and COMPLETE in text:
            return said.group()
        time.sleep(0.1)
    raise RuntimeError(f"The server did not come up:\n{log.read_text(encoding='utf-8')}")
