"""Runs the pipeline again and again, so that what is stored keeps up with now."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType

from pulsebase.etl.pipeline import Pipeline, Progress, RunReport
from pulsebase.model.errors import PulsebaseError
from pulsebase.model.timerange import DAY_US

logger = logging.getLogger(__name__)


class Scheduler:
    """One thread that runs every data set of every person every `every_s` seconds.

    Every `lookback_every_s` seconds, the first time included, a run looks back `lookback_us` for what the source
    learned late; those between resume at the last stored time, so that the live end does not rewrite a day each time.
    A run that fails is logged and tried again the next time, and keeps nobody else's from running.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        user_ids: Sequence[str],
        *,
        every_s: float = 10.0,
        lookback_us: int = DAY_US,
        lookback_every_s: float = 3_600.0,
        on_progress: Callable[[Progress], None] | None = None,
        on_report: Callable[[RunReport], None] | None = None,
    ) -> None:
        self._pipeline, self._user_ids = pipeline, tuple(user_ids)
        self._every_s, self._lookback_us, self._lookback_every_s = every_s, lookback_us, lookback_every_s
        self._on_progress, self._on_report = on_progress, on_report
        self._looked_back: dict[tuple[str, str], float] = {}
        self._last: dict[tuple[str, str], RunReport] = {}
        self._stop = threading.Event()
        self._caught_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulsebase-etl", daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the load that runs, if any, and wait for it. Twice is once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Scheduler:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait_caught_up(self, timeout_s: float | None = None) -> bool:
        """Wait until a first round has gone through without a failure; False if that took longer."""
        return self._caught_up.wait(timeout_s)

    def last_reports(self) -> list[RunReport]:
        """The last finished run of each person and data set."""
        return list(self._last.copy().values())

    def _run(self) -> None:
        while not self._stop.is_set():
            began = monotonic()
            # No short-circuit: one person's failure keeps nobody else's data from coming.
            done = [self._run_one(user, data_set) for user in self._user_ids for data_set in self._pipeline.data_sets]
            if all(done):
                self._caught_up.set()
            self._stop.wait(max(0.0, self._every_s - (monotonic() - began)))

    def _run_one(self, user_id: str, data_set: str) -> bool:
        if self._stop.is_set():
            return False
        key, now = (user_id, data_set), monotonic()
        looks_back = now - self._looked_back.get(key, float("-inf")) >= self._lookback_every_s
        try:
            report = self._pipeline.run(
                user_id,
                data_set,
                lookback_us=self._lookback_us if looks_back else 0,
                stop=self._stop,
                on_progress=self._on_progress,
            )
        except PulsebaseError as error:
            logger.warning("a run of %s failed and will be tried again: %s", data_set, error)
            return False
        except Exception:
            logger.exception("a run of %s failed and will be tried again", data_set)
            return False
        if report.outcome == "stopped":
            return False
        if looks_back:
            self._looked_back[key] = now
        self._last[key] = report
        if self._on_report is not None:
            self._on_report(report)
        return True
