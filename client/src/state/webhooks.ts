/** Making and removing webhooks. */
import { change } from "../api/change";
import type { MadeWebhook, NewWebhook } from "../api/types";

export const EVENTS: Record<NewWebhook["events"][number], string> = {
  "readings.stored": "Readings were stored",
  "day.closed": "A day is over",
  "signal.raised": "A signal is raised",
  "signal.cleared": "A signal is cleared",
  "import.finished": "An import ended",
  "connection.failed": "A connection fails",
};

export type EventType = keyof typeof EVENTS;
export const EVENT_TYPES = Object.keys(EVENTS) as EventType[];

/** The answer has the secret, which is not told again. */
export function makeWebhook(wanted: NewWebhook, signal: AbortSignal): Promise<MadeWebhook> {
  return change<MadeWebhook>("POST", "/v1/webhooks", signal, {}, wanted);
}

export async function removeWebhook(id: string, signal: AbortSignal): Promise<void> {
  await change("DELETE", "/v1/webhooks/{webhook_id}", signal, { webhook_id: id });
}
