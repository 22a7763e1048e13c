/** Signals: of whom their rules hold, what became of them lately, and the way to make and remove them. */
import { useState } from "react";
import type { Signal } from "../../api/types";
import { Answered, Card } from "../../components/Card";
import { ConfirmButton } from "../../components/ConfirmButton";
import { ErrorNotice } from "../../components/ErrorNotice";
import { ruleText } from "../../figures/signals";
import { countLabel, pluralLabel } from "../../figures/words";
import { type SignalEvent, useSignalEvents } from "../../live/useSignalEvents";
import { useTick } from "../../live/useTick";
import { onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { removeSignal } from "../../state/signals";
import { lacks, useAccess } from "../../state/useAccess";
import { useAnswer } from "../../state/useAnswer";
import { useChange } from "../../state/useChange";
import type { MetricRecord } from "../../state/useMetrics";
import { Moment } from "./Moment";
import { SignalForm } from "./SignalForm";

const LOOK_MS = 30_000;
/** So many people of a signal, and so many events, are listed. */
const MOST_PEOPLE = 20;
const MOST_EVENTS = 12;

function recordOf(metrics: readonly MetricRecord[], name: string): MetricRecord | null {
  return metrics.find(({ metric }) => metric === name) ?? null;
}

function groupText({ user_ids: people, cohort }: Signal): string {
  if (people) {
    return people.length <= 3 ? people.join(", ") : `${countLabel(people.length)} people`;
  }
  if (!cohort) return "everybody";
  const parts = [
    cohort.gender?.join(" or "),
    cohort.min_age == null ? null : `older than ${cohort.min_age}`,
    cohort.max_age == null ? null : `up to ${cohort.max_age} years`,
  ];
  return parts.filter(Boolean).join(", ") || "everybody";
}

export function SignalsCard() {
  const mayChange = !lacks(useAccess(), "admin");
  const tick = useTick(LOOK_MS);
  const [changes, setChanges] = useState(0);
  const news = useSignalEvents();
  const signals = useAnswer({
    path: "/v1/signals",
    query: {},
    subject: "signals",
    again: tick + changes + news.count,
  });
  const metrics = useAnswer({ path: "/v1/metrics", query: {}, subject: "metrics" });
  const known = metrics.answer?.data ?? [];
  const changed = () => setChanges((count) => count + 1);
  return (
    <Card title="Signals" note="rules over readings; no diagnosis, and no alarm to rely on" wide>
      <Answered
        of={signals}
        empty={({ data }) => (data.length === 0 ? "There are no signals." : null)}
      >
        {({ data }) => (
          <ul className="rows rows-tall">
            {data.map((signal) => (
              <li key={signal.signal_id}>
                <SignalRow
                  signal={signal}
                  metrics={known}
                  now={tick}
                  onRemoved={mayChange ? changed : null}
                />
              </li>
            ))}
          </ul>
        )}
      </Answered>
      {mayChange && <SignalForm metrics={known} onMade={changed} />}
      {news.events.length > 0 && <Lately events={news.events} metrics={known} now={tick} />}
    </Card>
  );
}

function PersonLink({ id }: { id: string }) {
  const address = addressOf("person", `?people=${encodeURIComponent(id)}&range=24h`);
  return (
    <a href={address} onClick={onFollow}>
      {id}
    </a>
  );
}

function SignalRow(props: {
  signal: Signal;
  metrics: readonly MetricRecord[];
  now: number;
  /** Null where the key may not remove it. */
  onRemoved: (() => void) | null;
}) {
  const { signal, metrics, now, onRemoved } = props;
  const { raised, raised_people: count } = signal;
  const { busy, error, run } = useChange();
  const rule = ruleText(signal, recordOf(metrics, signal.metric));
  const shown = raised.slice(0, MOST_PEOPLE);
  return (
    <>
      <div>
        <strong>{rule}</strong>{" "}
        <span className={count > 0 ? "badge badge-bad" : "badge badge-good"}>
          {count > 0 ? `Raised for ${pluralLabel(count, "person", "people")}` : "Not raised"}
        </span>
        <p className="faint">
          Of {groupText(signal)} · made <Moment at={Date.parse(signal.created_at)} now={now} />
        </p>
        {shown.length > 0 && (
          <ul className="raised">
            {shown.map(({ user_id: id, start }) => (
              <li key={id}>
                <PersonLink id={id} />{" "}
                <span className="faint">
                  since <Moment at={Date.parse(start)} now={now} />
                </span>
              </li>
            ))}
          </ul>
        )}
        {count > shown.length && (
          <p className="faint">and {countLabel(count - shown.length)} more</p>
        )}
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
      </div>
      {onRemoved && (
        <ConfirmButton
          label="Remove"
          confirm="Really remove"
          about={rule}
          disabled={busy}
          onConfirm={() =>
            run((signalled) => removeSignal(signal.signal_id, signalled).then(onRemoved))
          }
        />
      )}
    </>
  );
}

const REASONS: Record<string, string> = {
  ended: "the readings say that it ended",
  withdrawn: "the readings do not say so any more",
};

/** What became of signals, as far back as the server keeps it. */
function Lately(props: {
  events: readonly SignalEvent[];
  metrics: readonly MetricRecord[];
  now: number;
}) {
  const { events, metrics, now } = props;
  return (
    <section className="lately" aria-label="Signals lately">
      <h3>Lately</h3>
      <ul className="rows">
        {events.slice(0, MOST_EVENTS).map(({ id, kind, userId, rule, start, end, reason }) => (
          <li key={id}>
            <span>
              <span className={kind === "signal.raised" ? "badge badge-bad" : "badge badge-plain"}>
                {kind === "signal.raised" ? "Raised" : "Cleared"}
              </span>{" "}
              <PersonLink id={userId} /> {ruleText(rule, recordOf(metrics, rule.metric))}
              {reason && <span className="faint"> {REASONS[reason] ?? reason}</span>}
            </span>
            <span className="faint">
              <Moment at={Date.parse(end ?? start)} now={now} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}
