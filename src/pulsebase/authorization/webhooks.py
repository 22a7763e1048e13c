"""Webhooks, as the caller of a request may use them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pulsebase.access.caller import caller
from pulsebase.events.kinds import ImportCounts, import_finished
from pulsebase.events.service import WebhookRequest, Webhooks
from pulsebase.events.webhooks import Delivery, DeliveryState, Webhook
from pulsebase.model.errors import UnknownUserError


class AuthorizedWebhooks:
    """All webhooks for callers who may see everybody; for others those that were made with the same key. Whatever a
    webhook is told is what the key that made it may see then.
    """

    def __init__(self, inner: Webhooks, unknown: Callable[[Collection[str]], set[str]]) -> None:
        self._inner, self._unknown = inner, unknown

    def create(
        self, url: str, events: Collection[str], people: Collection[str] | None, secret: str | None
    ) -> tuple[Webhook, str]:
        """See `Webhooks.create`.

        Raises:
            UnknownUserError: somebody in `people` is not known, or out of reach.
        """
        asking = caller()
        if people is None:
            asking.ask_everybody()
        else:
            asking.require(people)
            if self._unknown(people):
                raise UnknownUserError
        return self._inner.create(WebhookRequest(url, events, people, secret, asking.principal.number))

    def all(self) -> Sequence[Webhook]:
        """See `Webhooks.all`."""
        asking, found = caller(), self._inner.all()
        if asking.ask_everybody() is None:
            return found
        return [webhook for webhook in found if webhook.key == asking.principal.number]

    def find(self, webhook_id: str) -> Webhook | None:
        """Return the webhook of this id, if the caller may know of it."""
        return next((webhook for webhook in self.all() if webhook.webhook_id == webhook_id), None)

    def remove(self, webhook: Webhook) -> None:
        """See `Webhooks.remove`."""
        self._inner.remove(webhook)

    def deliveries(
        self, webhook: Webhook, state: DeliveryState | None, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """See `Webhooks.deliveries`. About people out of reach there are none."""
        return self._inner.deliveries(webhook, state, before, limit, caller().principal.people)

    def import_finished(self, number: int, status: str, counts: ImportCounts) -> None:
        """Note that an import by a command ended, see `Webhooks.note`. For the owner alone."""
        self._inner.note(import_finished(number, status, counts, None))

    def retry(self, webhook: Webhook, numbers: Collection[int] | None) -> int:
        """See `Webhooks.retry`. Deliveries about people out of reach are none."""
        return self._inner.retry(webhook, numbers, caller().principal.people)
