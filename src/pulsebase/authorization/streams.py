"""Live streams, as the caller of a request may open them."""

from __future__ import annotations

from collections.abc import Sequence

from pulsebase.access.caller import caller
from pulsebase.access.service import Access
from pulsebase.live.commit_log import ALL_TIME, ChangedRange
from pulsebase.live.subscriptions import Subscription, Subscriptions


class AuthorizedStreams:
    """What is committed to people in the caller's reach, as it is committed. A stream ends when its key does."""

    def __init__(self, inner: Subscriptions, access: Access) -> None:
        self._inner, self._access = inner, access

    @property
    def ending(self) -> bool:
        """Whether streams end now, since the server stops."""
        return self._inner.ending

    @property
    def heartbeat_s(self) -> float:
        """How often a stream without events sends a heartbeat, in seconds."""
        return self._inner.limits.heartbeat_s

    def tell_changed(self, user_id: str) -> None:
        """Tell who listens that what they have of a person has to be asked for again."""
        caller().require([user_id])
        self._inner.commit_log.publish_change(ChangedRange(user_id, ALL_TIME))

    def open(self, user_ids: Sequence[str], last_event_id: str | None) -> Subscription:
        """What is told to whoever asks. People out of reach are unknown, and stay so."""
        asking = caller()
        reached = [user_id for user_id in user_ids if asking.reaches(user_id)]
        unknown = set(user_ids).difference(reached)
        return Subscription(
            self._inner, frozenset(reached), last_event_id, unknown, lambda: self._access.still_takes(asking.principal)
        )
