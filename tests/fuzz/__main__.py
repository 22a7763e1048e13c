"""Give decoders, and a server, changed inputs for as long as is wanted. Exits with 1 if anything was found."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.runner import run
from tests.fuzz.targets import ALLOWED, SERVED, TARGETS
from tests.fuzz.worker import Task

_HOUR_S = 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    asked = _parser().parse_args(arguments)
    names = asked.target or list(TARGETS)
    if asked.input is not None:
        return _again(names, asked.input)
    seconds = None if asked.count is not None and asked.seconds is None else asked.seconds or _HOUR_S
    findings = asked.findings or Path(tempfile.gettempdir()) / "pulsebase-fuzz"
    print(f"Seed {asked.seed}")
    shares = {name: 3 if name in SERVED else 1 for name in names}  # a server takes its time
    faults = 0
    for name in names:
        share_s = None if seconds is None else seconds * shares[name] / sum(shares.values())
        outcome = run(TARGETS[name], Task(asked.seed, 0, asked.count, share_s), findings)
        print(f"{name}: {outcome.inputs:,} inputs, {'nothing found' if outcome.found is None else 'FOUND'}", flush=True)
        if outcome.found is not None:
            faults += 1
            print(f"{outcome.what.rstrip()}\nThe input is {outcome.found}; again:")
            print(f"  python -m tests.fuzz --target {name} --input {outcome.found}", flush=True)
    return 1 if faults else 0


def _again(names: Sequence[str], path: Path) -> int:
    """Give one input to targets, in this process."""
    for name in names:
        with TARGETS[name].opened() as read:
            try:
                read(path.read_bytes())
            except ALLOWED as error:
                print(f"{name}: refused: {error}")
            else:
                print(f"{name}: read")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="a target; more may be named")
    parser.add_argument("--seconds", type=float, help="how long, shared among the targets; an hour if nothing is said")
    parser.add_argument("--count", type=int, help="at most so many inputs a target")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="what all inputs are made of")
    parser.add_argument("--findings", type=Path, help="the folder for inputs that were not stood")
    parser.add_argument("--input", type=Path, help="give this file to the targets instead, once")
    return parser


if __name__ == "__main__":
    sys.exit(main())
