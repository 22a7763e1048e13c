"""What is kept of webhooks and their deliveries: the types, in no particular file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pulsebase.events.kinds import Event, EventType, Stretch, body_of, data_of

DeliveryState = Literal["waiting", "delivered", "dead"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody who is told of events.

    Attributes:
        number: orders webhooks by when they were made.
        webhook_id: a random text.
        url: where events are sent.
        events: the kinds it is told of.
        people: events about these people alone; None for everybody that its key may see.
        key: the number of the key that made it, see `access.keys.Principal`.
        created_us: when it was made.
        ended: why it is told of nothing any more; None while it is.
    """

    number: int
    webhook_id: str
    url: str
    events: frozenset[EventType]
    people: frozenset[str] | None
    key: int
    created_us: int
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom a key may see: these people, or everybody."""

    people: frozenset[str] | None


#: Returns whom the key of a number may see; None if it is no longer valid.
ReachOf = Callable[[int], Reach | None]


def hears(webhook: Webhook, event: Event, reach: Reach | None) -> bool:
    """Whether a webhook is told of an event, if its key may see so much."""
    if event.type not in webhook.events or webhook.ended is not None or reach is None:
        return False
    if event.user_id is None:  # nobody in particular: for keys of everybody, and for the one that caused it
        return webhook.people is None and (reach.people is None or event.key == webhook.key)
    return (webhook.people is None or event.user_id in webhook.people) and (
        reach.people is None or event.user_id in reach.people
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that one webhook is told of.

    Attributes:
        number: those of the same webhook and person are sent in order of it.
        webhook: the webhook's number.
        event_id: the same each time it is sent, by which a receiver tells that it has it.
        type: the kind of event.
        user_id: the person it is about; None for nobody in particular.
        data: what the body says besides the person, as JSON; None once it was delivered, or where there is a stretch.
        stretch: the readings it is about, if it is about stored ones.
        noted_us: when it happened.
        state: whether it waits, was delivered, or is given up.
        attempts: how often it was sent.
        due_us: when it is sent next.
        status: of the last answer.
        problem: why it was not delivered the last time.
        done_us: when it was delivered or given up.
        retried_us: when somebody last had it sent again although it was given up.
        attempts_before: how often it had been sent then.
    """

    number: int
    webhook: int
    event_id: str
    type: str
    user_id: str | None
    data: bytes | None
    stretch: Stretch | None
    noted_us: int
    state: DeliveryState
    attempts: int
    due_us: int
    status: int | None
    problem: str | None
    done_us: int | None
    retried_us: int | None
    attempts_before: int

    def body(self) -> bytes:
        """Write the body that is sent."""
        said: dict[str, Any] = (
            msgspec.json.decode(self.data or b"{}") if self.stretch is None else data_of(self.stretch)
        )
        return body_of(self.type, self.noted_us, self.user_id, said)


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and the numbers of the webhooks that are told of it."""

    event: Event
    webhooks: Sequence[int]


def heard(webhooks: Sequence[Webhook], events: Iterable[Event], reach_of: ReachOf) -> list[Told]:
    """Return the events that some webhook is told of."""
    reaches = {webhook.number: reach_of(webhook.key) for webhook in webhooks}
    told = []
    for event in events:
        hearing = [webhook.number for webhook in webhooks if hears(webhook, event, reaches[webhook.number])]
        if hearing:
            told.append(Told(event, hearing))
    return told


@dataclass(frozen=True, slots=True)
class OpenDay:
    """A day of a person that has readings and is to be closed: its date in a time zone, and when that is due."""

    user_id: str
    day: str
    time_zone: str
    due_us: int
