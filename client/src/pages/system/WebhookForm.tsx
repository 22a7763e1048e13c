import { type FormEvent, useId, useState } from "react";
import type { MadeWebhook } from "../../api/types";
import { CopyBlock } from "../../components/CopyBlock";
import { ErrorNotice } from "../../components/ErrorNotice";
import { FieldProblem } from "../../components/FieldProblem";
import { idsIn } from "../../state/signals";
import { useChange } from "../../state/useChange";
import { EVENT_TYPES, EVENTS, type EventType, makeWebhook } from "../../state/webhooks";

/** A new webhook; its secret is shown once. */
export function WebhookForm({ onMade }: { onMade: () => void }) {
  const id = useId();
  const [url, setUrl] = useState("");
  const [people, setPeople] = useState("");
  const [events, setEvents] = useState<readonly EventType[]>(["readings.stored"]);
  const [problem, setProblem] = useState<string | null>(null);
  const [made, setMade] = useState<MadeWebhook | null>(null);
  const { busy, error, run } = useChange();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const lacking = !/^https?:\/\/./.test(url.trim())
      ? "An address begins with https://."
      : events.length === 0
        ? "At least one event is needed."
        : null;
    setProblem(lacking);
    if (lacking) return;
    const ids = idsIn(people);
    const wanted = {
      url: url.trim(),
      events: [...events],
      ...(ids.length > 0 && { user_ids: ids }),
    };
    run(async (signal) => {
      setMade(await makeWebhook(wanted, signal));
      setUrl("");
      onMade();
    });
  };
  const described = problem ? `${id}-problem` : undefined;
  return (
    <details className="import-more">
      <summary>Make a webhook</summary>
      <form onSubmit={submit} noValidate>
        <div className="import-fields">
          <label className="import-field">
            <span className="field-label">Address that is called</span>
            <input
              className="field"
              type="url"
              autoComplete="off"
              placeholder="https://example.org/in"
              value={url}
              aria-describedby={described}
              onChange={(event) => setUrl(event.target.value)}
            />
          </label>
          <label className="import-field">
            <span className="field-label">About people by id</span>
            <input
              className="field"
              autoComplete="off"
              placeholder="everybody"
              value={people}
              onChange={(event) => setPeople(event.target.value)}
            />
          </label>
        </div>
        <fieldset className="webhook-events">
          <legend className="field-label">Called when</legend>
          <div className="choices">
            {EVENT_TYPES.map((type) => (
              <label key={type} className="choice">
                <input
                  type="checkbox"
                  checked={events.includes(type)}
                  onChange={() => {
                    const next = (one: EventType) => events.includes(one) !== (one === type);
                    setEvents(EVENT_TYPES.filter(next));
                  }}
                />
                {EVENTS[type]}
              </label>
            ))}
          </div>
        </fieldset>
        <button type="submit" className="button button-main" disabled={busy}>
          Make the webhook
        </button>
        <FieldProblem id={`${id}-problem`} problem={problem} />
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
      </form>
      {made && (
        <div role="status">
          <CopyBlock label={`Secret of ${made.url}, shown this once`} text={made.secret} />
        </div>
      )}
    </details>
  );
}
