"""`python -m benchmarks`: run cases, or write the table of the page from their results."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from benchmarks.page import PAGE, with_table
from benchmarks.run import CASES, RESULTS, SYSTEMS, run
from benchmarks.sizes import SHORT, Sizes, changed


def main() -> int:
    signal.signal(signal.SIGTERM, _stop)
    arguments = _parser().parse_args()
    if arguments.command == "table":
        PAGE.write_text(with_table(PAGE.read_text(), arguments.results or RESULTS))
        return 0
    try:
        sizes = changed(SHORT if arguments.short else Sizes(), arguments.set)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    results = arguments.results
    if results is None:  # figures of a short run say nothing, and must not replace those that do
        results = Path(tempfile.mkdtemp(prefix="pulsebase-results-")) if arguments.short else RESULTS
    done = run(sizes, arguments.case or list(CASES), arguments.system or list(SYSTEMS), results, arguments.folder)
    print(f"Results are in {results}")
    failed = [name for name, result in done.items() for part in result["systems"].values() if "failed" in part]
    return 1 if failed else 0


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave by the way that stops the servers and removes what was prepared."""
    del frame
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "table"], default="run")
    parser.add_argument("--case", action="append", choices=list(CASES), help="this case (may be repeated)")
    parser.add_argument("--system", action="append", choices=list(SYSTEMS), help="this system (may be repeated)")
    parser.add_argument("--short", action="store_true", help="tiny sizes, that everything runs: no figures to judge")
    parser.add_argument("--set", action="append", default=[], metavar="SIZE=VALUE", help="change a size, see sizes.py")
    parser.add_argument("--results", type=Path, help="where result files go, or where the table takes them from")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure; the temporary folder by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
