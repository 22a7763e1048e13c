"""How large and how long everything is. Each field can be changed on the command line: `--set seconds=10`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sizes:
    seed: int = 1
    people: int = 1_000
    #: How long a load lasts, and how long after it we look again at what is unmerged.
    seconds: float = 60
    settle_s: float = 60

    batch_readings: int = 1_000
    batch_connections: int = 16
    bulk_readings: int = 500_000
    bulk_record_batch_readings: int = 100_000
    bulk_connections: int = 2
    single_connections: int = 64

    #: Readings stored before the series mix, ours and the peers' (which take hours to fill), and the growth step.
    stored_readings: int = 86_000_000
    peer_stored_readings: int = 8_600_000
    grown_from_readings: int = 8_600_000
    grown_to_readings: int = 86_000_000
    #: Questions are sent when they are due, and their latency counts from then, whatever the server does.
    questions_per_s: float = 20
    question_connections: int = 4
    #: What streams in beside the mix; the late ones come at its start and every `late_every_s` again.
    stream_readings_per_s: int = 100_000
    late_readings: int = 20_000
    late_every_s: float = 10

    #: The population that is asked about, and a second, larger one: 60 million readings of 1,000 people, say.
    readings: int = 2_500_000
    readings_people: int = 100
    large_readings: int = 0
    large_people: int = 1_000
    #: How often each kind of question about many people is asked, and how many questions about one person's hours.
    cohort_rounds: int = 20
    top_hours_questions: int = 1_000

    #: People on the dashboard, days of a reading a second behind it, visits to it, steps of its zoom, readings that
    #: come in while it is live, and how often it is dragged from side to side.
    #: Servers of the ClickHouse cluster.
    shards: int = 1

    dashboard_people: int = 4
    dashboard_days: int = 3
    dashboard_visits: int = 20
    dashboard_steps: int = 46
    dashboard_live_readings: int = 20
    dashboard_strokes: int = 4
    #: In how many movements of the pointer.
    dashboard_stroke_steps: int = 60

    disk_readings: int = 3_000_000
    takeout_readings: int = 2_000_000
    apple_records: int = 1_000_000
    fit_records: int = 1_000_000
    #: Of each of the other kinds of files.
    vendor_readings: int = 1_000_000
    exported_readings: int = 5_000_000
    #: Longest wait for everything to be merged, before a mix and before bytes are counted.
    merge_wait_s: float = 900
    #: Compare what is stored with what was sent, person by person.
    verify: bool = False


#: Seconds, for the tests: that everything runs and every count agrees, not how fast.
SHORT = Sizes(
    people=20,
    seconds=0.5,
    settle_s=0.25,
    batch_readings=50,
    batch_connections=4,
    bulk_readings=2_000,
    bulk_record_batch_readings=500,
    single_connections=8,
    stored_readings=60_000,
    peer_stored_readings=60_000,
    grown_from_readings=60_000,
    grown_to_readings=120_000,
    stream_readings_per_s=2_000,
    late_readings=200,
    readings=20_000,
    readings_people=20,
    large_readings=30_000,
    large_people=25,
    cohort_rounds=2,
    top_hours_questions=10,
    late_every_s=0.25,
    dashboard_people=1,
    dashboard_days=2,
    dashboard_visits=1,
    dashboard_steps=2,
    dashboard_live_readings=1,
    dashboard_strokes=1,
    dashboard_stroke_steps=8,
    disk_readings=10_000,
    takeout_readings=5_000,
    apple_records=2_000,
    fit_records=5_000,
    vendor_readings=2_000,
    exported_readings=5_000,
    merge_wait_s=0.25,  # what is due after twenty seconds no test waits for
    verify=True,
)


def changed(sizes: Sizes, assignments: list[str]) -> Sizes:
    """The sizes with `name=value` assignments applied.

    Raises:
        ValueError: no such field, or no such value.
    """
    kinds = {field.name: type(getattr(sizes, field.name)) for field in dataclasses.fields(sizes)}
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in kinds:
            raise ValueError(f"{name} is no size; there are: {', '.join(kinds)}")
        if kinds[name] is bool:
            changes[name] = text in ("1", "true", "yes")
        else:
            # Whole numbers may be written 8.6e6 or 86_000_000.
            changes[name] = int(float(text)) if kinds[name] is int else float(text)
    return dataclasses.replace(sizes, **changes)
