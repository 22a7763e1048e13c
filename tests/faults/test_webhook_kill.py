"""A short one of the runs in which a server dies while it tells a webhook; `webhook_kills` says what holds."""

from __future__ import annotations

from pathlib import Path

from tests.faults.webhook_kills import MOMENTS, kill_over_and_over


def test_whenever_a_server_is_killed_every_event_of_what_it_stored_arrives(tmp_path: Path) -> None:
    run = kill_over_and_over(tmp_path, MOMENTS, seed=11)
    assert set(run.kills) == set(MOMENTS)
    assert run.repeated >= 1, "what was under way came again"
    assert run.readings > len(MOMENTS)
