"""Webhooks and their deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pulsebase.api.schemas.common import Identifier, PageCursor, Parameters
from pulsebase.events.kinds import EventType


class NewWebhook(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        max_length=2048, description="Where events are sent, by POST.", examples=["https://example.org/in"]
    )
    events: list[EventType] = Field(min_length=1, max_length=20)
    user_ids: list[Identifier] | None = Field(
        None, min_length=1, max_length=1000, description="Events about these people alone; without it, about everybody."
    )
    secret: str | None = Field(
        None,
        max_length=128,
        description="`whsec_` and 24 to 64 bytes in Base64. Without it, one is made.",
    )


class WebhookEntry(BaseModel):
    """A webhook. `ended` says why it is told of nothing any more; null while it is."""

    model_config = ConfigDict(title="Webhook")

    webhook_id: str
    url: str
    events: list[EventType]
    user_ids: list[str] | None
    created_at: str
    ended: str | None


class CreatedWebhook(WebhookEntry):
    """A new webhook, and its secret, which is not shown again."""

    model_config = ConfigDict(title="Created webhook")

    secret: str


class WebhookList(BaseModel):
    """Webhooks, the oldest first."""

    data: list[WebhookEntry]


class RemovedWebhook(BaseModel):
    """The webhook that was removed."""

    webhook_id: str


class DeliveriesParameters(Parameters):
    """`GET /webhooks/{webhook_id}/deliveries`."""

    state: Literal["waiting", "delivered", "dead"] | None = None
    limit: int = Field(100, ge=1, le=1000)
    cursor: PageCursor = None


class Retry(BaseModel):
    """Which dead deliveries are sent again."""

    model_config = ConfigDict(extra="forbid")

    ids: list[int] | None = Field(
        None, min_length=1, max_length=1000, description="The `id` of each; without it, all that are dead."
    )


class Retried(BaseModel):
    """How many deliveries wait again."""

    retried: int


class DeliveryEntry(BaseModel):
    """An event that a webhook is told of. `event_id` is sent as `webhook-id`.

    A delivery is `waiting` until it is `delivered`, or `dead` if it is given up. `status` is that of the last answer,
    `problem` says what was wrong the last time. `next_attempt_at` is null once it has ended.
    """

    model_config = ConfigDict(title="Delivery")

    id: int
    event_id: str
    type: str
    user_id: str | None
    noted_at: str
    state: Literal["waiting", "delivered", "dead"]
    attempts: int
    next_attempt_at: str | None
    ended_at: str | None
    status: int | None
    problem: str | None


class DeliveryList(BaseModel):
    """A page of deliveries, the newest first."""

    data: list[DeliveryEntry]
    next_cursor: int | None
