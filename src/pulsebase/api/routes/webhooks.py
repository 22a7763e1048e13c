"""Make, list and remove webhooks, and show their deliveries."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from pulsebase.api.border.problems import ProblemError
from pulsebase.api.border.request_shares import SharedRoute
from pulsebase.api.codecs.answers import JSON, shown_time
from pulsebase.api.codecs.json_bodies import checked_object
from pulsebase.api.codecs.request_body import FIELDS_BYTES, read_body, require_json
from pulsebase.api.components import RequestServices
from pulsebase.api.schemas.common import NoParameters, body_of
from pulsebase.api.schemas.webhooks import (
    CreatedWebhook,
    DeliveriesParameters,
    DeliveryList,
    NewWebhook,
    RemovedWebhook,
    Retried,
    Retry,
    WebhookEntry,
    WebhookList,
)
from pulsebase.events.webhooks import Delivery, Webhook
from pulsebase.model.timerange import format_us

#: Schemas of bodies that are decoded here; the OpenAPI document shows them all the same.
BODY_SCHEMAS = (NewWebhook, Retry)

WebhookId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Nothing = Annotated[NoParameters, Query()]


def router(services: RequestServices) -> APIRouter:
    """Return the routes under `/webhooks`."""
    routes = APIRouter(route_class=SharedRoute, tags=["webhooks"])
    webhooks = services.webhooks

    def found(webhook_id: str) -> Webhook:
        webhook = webhooks.find(webhook_id)
        if webhook is None:
            raise ProblemError("not-found", "there is no such webhook")
        return webhook

    def retried(webhook_id: str, wanted: Retry) -> int:
        webhook = found(webhook_id)
        if webhook.ended is not None:
            raise ProblemError("conflict", f"the webhook has ended: {webhook.ended}; make a new one")
        return webhooks.retry(webhook, wanted.ids)

    @routes.post("/webhooks", status_code=201, response_model=CreatedWebhook, openapi_extra=body_of("NewWebhook"))
    async def create_webhook(request: Request, _: Nothing) -> Response:
        """Make a webhook: from now on, events are sent to its URL, signed with its secret."""
        require_json(request)
        wanted = checked_object(await read_body(request, FIELDS_BYTES), NewWebhook)
        webhook, secret = await run_in_threadpool(
            webhooks.create, wanted.url, wanted.events, wanted.user_ids, wanted.secret
        )
        return _answer(_entry(webhook) | {"secret": secret}, 201)

    @routes.get("/webhooks", response_model=WebhookList)
    def list_webhooks(_: Nothing) -> Response:
        """List webhooks, the oldest first."""
        return _answer({"data": [_entry(webhook) for webhook in webhooks.all()]})

    @routes.get("/webhooks/{webhook_id}", response_model=WebhookEntry)
    def show_webhook(webhook_id: WebhookId, _: Nothing) -> Response:
        """Show a webhook."""
        return _answer(_entry(found(webhook_id)))

    @routes.delete("/webhooks/{webhook_id}", response_model=RemovedWebhook)
    def remove_webhook(webhook_id: WebhookId, _: Nothing) -> Response:
        """Remove a webhook. What waits for it is not sent any more."""
        webhooks.remove(found(webhook_id))
        return _answer({"webhook_id": webhook_id})

    @routes.get("/webhooks/{webhook_id}/deliveries", response_model=DeliveryList)
    def list_deliveries(webhook_id: WebhookId, parameters: Annotated[DeliveriesParameters, Query()]) -> Response:
        """List a webhook's deliveries, the newest first, in pages."""
        limit, webhook = parameters.limit, found(webhook_id)
        deliveries = webhooks.deliveries(webhook, parameters.state, parameters.cursor, limit + 1)
        next_cursor = deliveries[limit - 1].number if len(deliveries) > limit else None
        return _answer({"data": [_shown(each) for each in deliveries[:limit]], "next_cursor": next_cursor})

    @routes.post(
        "/webhooks/{webhook_id}/deliveries/retry",
        status_code=202,
        response_model=Retried,
        openapi_extra=body_of("Retry"),
    )
    async def retry_deliveries(request: Request, webhook_id: WebhookId, _: Nothing) -> Response:
        """Send deliveries that were given up again, the oldest first, as many as may wait. Each has the same `event_id`
        as before, and a day again to be taken.
        """
        require_json(request)
        wanted = checked_object(await read_body(request, FIELDS_BYTES), Retry)
        return _answer({"retried": await run_in_threadpool(retried, webhook_id, wanted)}, 202)

    return routes


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type=JSON)


def _entry(webhook: Webhook) -> dict[str, Any]:
    return {
        "webhook_id": webhook.webhook_id,
        "url": webhook.url,
        "events": sorted(webhook.events),
        "user_ids": None if webhook.people is None else sorted(webhook.people),
        "created_at": format_us(webhook.created_us),
        "ended": webhook.ended,
    }


def _shown(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.number,
        "event_id": delivery.event_id,
        "type": delivery.type,
        "user_id": delivery.user_id,
        "noted_at": format_us(delivery.noted_us),
        "state": delivery.state,
        "attempts": delivery.attempts,
        "next_attempt_at": format_us(delivery.due_us) if delivery.state == "waiting" else None,
        "ended_at": shown_time(delivery.done_us),
        "status": delivery.status,
        "problem": delivery.problem,
    }
