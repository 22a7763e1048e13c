/** Webhooks: whether they are told, what they did not take, and the way to make and remove them. */
import { useState } from "react";
import type { Delivery, Webhook } from "../../api/types";
import { Answered, Card } from "../../components/Card";
import { ConfirmButton } from "../../components/ConfirmButton";
import { type Column, DataTable } from "../../components/DataTable";
import { ErrorNotice } from "../../components/ErrorNotice";
import { countLabel } from "../../figures/words";
import { useTick } from "../../live/useTick";
import { useAnswer } from "../../state/useAnswer";
import { useChange } from "../../state/useChange";
import { EVENTS, type EventType, removeWebhook } from "../../state/webhooks";
import { Moment } from "./Moment";
import { WebhookForm } from "./WebhookForm";

const LOOK_MS = 15_000;
/** So many deliveries of a state are looked at. */
const MOST_DELIVERIES = 20;

const DELIVERIES = "/v1/webhooks/{webhook_id}/deliveries";

/** Shown to keys that may make webhooks. */
export function WebhooksCard() {
  const tick = useTick(LOOK_MS);
  const [changes, setChanges] = useState(0);
  const answer = useAnswer({
    path: "/v1/webhooks",
    query: {},
    subject: "webhooks",
    again: tick + changes,
  });
  const changed = () => setChanges((count) => count + 1);
  return (
    <Card title="Webhooks" note="addresses that are called when something happens" wide>
      <Answered
        of={answer}
        empty={({ data }) => (data.length === 0 ? "There are no webhooks." : null)}
      >
        {({ data }) => (
          <ul className="rows rows-tall imports">
            {data.map((webhook) => (
              <li key={webhook.webhook_id}>
                <WebhookRow webhook={webhook} now={tick} onRemoved={changed} />
              </li>
            ))}
          </ul>
        )}
      </Answered>
      <WebhookForm onMade={changed} />
    </Card>
  );
}

/** `20 or more` where a page of the list was full. */
function manyLabel(deliveries: readonly Delivery[], more: boolean): string {
  return more ? `${countLabel(deliveries.length)} or more` : countLabel(deliveries.length);
}

function useDeliveries(webhook: Webhook, state: "waiting" | "dead", now: number) {
  return useAnswer({
    path: DELIVERIES,
    query: { state, limit: MOST_DELIVERIES },
    inPath: { webhook_id: webhook.webhook_id },
    subject: `${webhook.webhook_id} ${state}`,
    again: now,
  });
}

function WebhookRow(props: { webhook: Webhook; now: number; onRemoved: () => void }) {
  const { webhook, now, onRemoved } = props;
  const { url, ended, events, user_ids: people } = webhook;
  const dead = useDeliveries(webhook, "dead", now);
  const waiting = useDeliveries(webhook, "waiting", now);
  const { busy, error, run } = useChange();
  const badge = ({ answer }: typeof dead, tone: "bad" | "warn", what: string) =>
    answer &&
    answer.data.length > 0 && (
      <span className={`badge badge-${tone}`}>
        {manyLabel(answer.data, answer.next_cursor !== null)} {what}
      </span>
    );
  return (
    <details className="import-row">
      <summary>
        <span className="import-name">{url}</span>
        {ended === null ? (
          <span className="badge badge-good">Told</span>
        ) : (
          <span className="badge badge-bad">Ended: {ended}</span>
        )}
        {badge(waiting, "warn", "waiting")}
        {badge(dead, "bad", "given up")}
        <span className="faint">
          made <Moment at={Date.parse(webhook.created_at)} now={now} />
        </span>
      </summary>
      <p className="faint">
        {events.map((type) => EVENTS[type as EventType] ?? type).join(", ")} ·{" "}
        {people ? `about ${people.join(", ")}` : "about everybody"}
      </p>
      {error !== null && <ErrorNotice error={error} onRetry={null} />}
      <Answered
        of={dead}
        empty={({ data }) => (data.length === 0 ? "Nothing was given up." : null)}
      >
        {({ data }) => <DeliveryTable label="Given up" deliveries={data} now={now} />}
      </Answered>
      {(waiting.answer?.data.length ?? 0) > 0 && (
        <DeliveryTable label="Waiting" deliveries={waiting.answer?.data ?? []} now={now} />
      )}
      <div className="card-foot">
        <ConfirmButton
          label="Remove"
          confirm="Really remove"
          about={url}
          disabled={busy}
          onConfirm={() =>
            run((signal) => removeWebhook(webhook.webhook_id, signal).then(onRemoved))
          }
        />
      </div>
    </details>
  );
}

const COLUMNS: readonly Column[] = [
  { title: "Happened" },
  { title: "Event" },
  { title: "Person" },
  { title: "Attempts", number: true },
  { title: "Answer" },
];

function DeliveryTable(props: { label: string; deliveries: readonly Delivery[]; now: number }) {
  const { label, deliveries, now } = props;
  return (
    <DataTable
      label={`${label}, the newest first`}
      caption={`${label}, the newest first`}
      columns={COLUMNS}
      rows={deliveries.map((one) => ({
        key: one.id,
        cells: [
          <Moment key="noted" at={Date.parse(one.noted_at)} now={now} />,
          EVENTS[one.type as EventType] ?? one.type,
          one.user_id ?? "–",
          countLabel(one.attempts),
          [one.status, one.problem].filter((part) => part !== null).join(": ") || "–",
        ],
      }))}
    />
  );
}
