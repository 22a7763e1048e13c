"""Webhooks, as an installation has them: made, removed and looked at, and what they are told of is noted."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from pulsebase.events.addresses import ForbiddenAddressError, Network, address_for, target_of
from pulsebase.events.courier import Courier
from pulsebase.events.event_file import EventFile
from pulsebase.events.kinds import EVENT_TYPES, FROM_COMMITS, Event, EventType
from pulsebase.events.sender import key_of, new_secret
from pulsebase.events.webhooks import Delivery, DeliveryState, ReachOf, Webhook, heard
from pulsebase.model.errors import PulsebaseError, RejectedError

logger = logging.getLogger(__name__)

#: The most webhooks of an installation.
MOST_WEBHOOKS = 100
#: The most people that one webhook may name.
MOST_PEOPLE = 1_000
_ID_BYTES = 12


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A webhook that somebody asks for; without `people` it is about everybody that the key may see."""

    url: str
    events: Collection[str]
    people: Collection[str] | None
    secret: str | None
    key: int


class Webhooks:
    """Every method may be called from any thread.

    Args:
        file: what is kept.
        courier: who sends.
        private: networks besides public addresses that may be called.
        reach_of: whom a key may see.
        now_us: the server's clock.
    """

    def __init__(
        self,
        file: EventFile,
        courier: Courier,
        private: Sequence[Network],
        reach_of: ReachOf,
        now_us: Callable[[], int],
    ) -> None:
        self._file, self._courier, self._private = file, courier, private
        self._reach_of, self._now_us = reach_of, now_us

    def create(self, wanted: WebhookRequest) -> tuple[Webhook, str]:
        """Make a webhook. Return it and its secret, which cannot be shown again. Whatever is acknowledged from now on
        is told to it.

        Raises:
            RejectedError: names the field that is wrong.
            StoreUnavailableError: it cannot be made now.
        """
        events: frozenset[EventType] = frozenset(each for each in EVENT_TYPES if each in wanted.events)
        if wanted.people is not None and not 1 <= len(set(wanted.people)) <= MOST_PEOPLE:
            raise RejectedError.of("user_ids", f"must be 1 to {MOST_PEOPLE} people, or left out for everybody")
        if events & FROM_COMMITS and not self._courier.keeps_notes:
            raise RejectedError.of("events", "of readings are not told by this store, which keeps no notes of commits")
        if len(self._file.webhooks()) >= MOST_WEBHOOKS:
            raise RejectedError.of("url", f"is one too many: there are {MOST_WEBHOOKS} webhooks already")
        secret = wanted.secret or new_secret()
        key_of(secret)
        self._check_address(wanted.url)
        people = None if wanted.people is None else frozenset(wanted.people)
        webhook_id = f"wh_{secrets.token_urlsafe(_ID_BYTES)}"
        fresh = Webhook(0, webhook_id, wanted.url, events, people, wanted.key, self._now_us())
        webhook = self._file.add_webhook(fresh, secret)
        try:
            self._courier.want_notes()
        except PulsebaseError:
            self._file.remove_webhook(webhook.number)
            raise
        self._courier.wake()
        return webhook, secret

    def all(self) -> Sequence[Webhook]:
        """Return every webhook, the oldest first."""
        return self._file.webhooks()

    def remove(self, webhook: Webhook) -> None:
        """Remove a webhook, with its deliveries."""
        self._file.remove_webhook(webhook.number)
        self._courier.wake()

    def deliveries(
        self,
        webhook: Webhook,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
        people: Collection[str] | None = None,
    ) -> Sequence[Delivery]:
        """Return a webhook's deliveries, the newest first; with `people`, only those about them or about nobody."""
        return self._file.deliveries(webhook.number, state, before, limit, people)

    def retry(self, webhook: Webhook, numbers: Collection[int] | None, people: Collection[str] | None) -> int:
        """Send dead deliveries again, all or those of these numbers, as if they had just happened; as many as may wait,
        the oldest first. With `people`, only those about them or about nobody. Return how many.

        Raises:
            RejectedError: one of the numbers is not of a dead delivery.
        """
        count = self._file.retry(webhook.number, numbers, people, self._now_us())
        if count is None:
            raise RejectedError.of("ids", "must all be of dead deliveries of this webhook")
        self._courier.wake()
        return count

    def note(self, event: Event) -> None:
        """Note an event for the webhooks that are told of it; on the disk when this returns.

        Raises:
            StoreUnavailableError: it cannot be noted now.
        """
        if told := heard(self._file.webhooks(), [event], self._reach_of):
            self._file.note(told, self._now_us())
            self._courier.wake()

    def announce(self, event: Event) -> None:
        """Note an event as `note` does. What cannot be noted is logged, since what happened stands all the same."""
        try:
            self.note(event)
        except PulsebaseError as error:
            logger.error("webhooks are not told of an event (%s): %s", event.type, error)

    def _check_address(self, url: str) -> None:
        target = target_of(url)
        try:
            address_for(target, self._private)
        except ForbiddenAddressError:
            kinds = "a public address, by https" if target.scheme == "https" else "https"
            message = f"must be {kinds}; PULSEBASE_WEBHOOK_PRIVATE_NETWORKS names other networks that may be called"
            raise RejectedError.of("url", message) from None
        except OSError:
            raise RejectedError.of("url", "names a host that is not found") from None
