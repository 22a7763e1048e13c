"""The tables of the file of events, and what their rows say."""

from __future__ import annotations

import json
from typing import Any

from pulsebase.events.kinds import EVENT_TYPES, EventType, Stretch
from pulsebase.events.webhooks import Delivery, Webhook
from pulsebase.model.timerange import TimeRange

_SCHEMA = """
CREATE TABLE webhooks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, webhook_id TEXT NOT NULL UNIQUE, url TEXT NOT NULL, secret TEXT NOT NULL,
    events TEXT NOT NULL, people TEXT, key INTEGER NOT NULL, created_us INTEGER NOT NULL, ended TEXT
);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, webhook INTEGER NOT NULL REFERENCES webhooks, event_id TEXT NOT NULL,
    type TEXT NOT NULL, user_id TEXT, data BLOB, metric TEXT, start_us INTEGER, end_us INTEGER, readings INTEGER,
    noted_us INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, due_us INTEGER NOT NULL, status INTEGER,
    problem TEXT, done_us INTEGER
);
CREATE INDEX waiting ON deliveries (webhook, coalesce(user_id, ''), number) WHERE state = 'waiting';
CREATE INDEX ended ON deliveries (webhook, state, number) WHERE state <> 'waiting';
CREATE INDEX deliveries_of_people ON deliveries (user_id);
CREATE TABLE moved (number INTEGER PRIMARY KEY);
CREATE TABLE days (
    user_id TEXT NOT NULL, day TEXT NOT NULL, time_zone TEXT NOT NULL, due_us INTEGER NOT NULL, told INTEGER NOT NULL,
    PRIMARY KEY (user_id, day)
) WITHOUT ROWID;
"""


_SIGNALS = """
CREATE TABLE signals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, signal_id TEXT NOT NULL UNIQUE, metric TEXT NOT NULL, rule TEXT NOT NULL,
    threshold TEXT, for_us INTEGER NOT NULL, people TEXT, cohort TEXT, key INTEGER NOT NULL, created_us INTEGER NOT NULL
);
CREATE TABLE touched (
    number INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT, metric TEXT, start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL, signal INTEGER
);
CREATE TABLE episodes (
    signal INTEGER NOT NULL, user_id TEXT NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    is_open INTEGER NOT NULL, PRIMARY KEY (signal, user_id, start_us)
) WITHOUT ROWID;
CREATE TABLE signal_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, signal INTEGER NOT NULL, user_id TEXT NOT NULL, type TEXT NOT NULL,
    data BLOB NOT NULL, at_us INTEGER NOT NULL
)
"""

_RETRIES = """
ALTER TABLE deliveries ADD COLUMN retried_us INTEGER;
ALTER TABLE deliveries ADD COLUMN attempts_before INTEGER NOT NULL DEFAULT 0
"""

#: The statements that bring a file from each version to the next.
STEPS = (_SCHEMA, _SIGNALS, _RETRIES)

WEBHOOK_COLUMNS = "number, webhook_id, url, events, people, key, created_us, ended"

DELIVERY_COLUMNS = (
    "number, webhook, event_id, type, user_id, data, metric, start_us, end_us, readings, noted_us, state, attempts, "
    "due_us, status, problem, done_us, retried_us, attempts_before"
)


def columns_of(stretch: Stretch | None) -> tuple[Any, ...]:
    """Return metric, start, end and readings, as a row of `deliveries` has them."""
    if stretch is None:
        return None, None, None, None
    return stretch.metric, stretch.range.start_us, stretch.range.end_us, stretch.readings


def webhook_of(row: tuple[Any, ...]) -> Webhook:
    """Return the webhook of a row of `WEBHOOK_COLUMNS`."""
    number, webhook_id, url, events, people, key, created_us, ended = row
    kinds: frozenset[EventType] = frozenset(each for each in EVENT_TYPES if each in events.split(" "))
    named = None if people is None else frozenset(json.loads(people))
    return Webhook(number, webhook_id, url, kinds, named, key, created_us, ended)


def delivery_of(row: tuple[Any, ...]) -> Delivery:
    """Return the delivery of a row of `DELIVERY_COLUMNS`."""
    number, webhook, event_id, type_, user_id, data, metric, start_us, end_us, readings, *rest = row
    stretch = None if metric is None else Stretch(metric, TimeRange(start_us, end_us), readings)
    return Delivery(number, webhook, event_id, type_, user_id, data, stretch, *rest)
