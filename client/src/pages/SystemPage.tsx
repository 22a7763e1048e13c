import { useMemo } from "react";
import { ApiError } from "../api/errors";
import { clockLabel } from "../charts/labels";
import { Card, Skeleton } from "../components/Card";
import { ErrorNotice } from "../components/ErrorNotice";
import { Sparkline } from "../components/Sparkline";
import type { Line } from "../figures/line";
import { type Samples, totalOf } from "../figures/promtext";
import { countLabel, durationLabel, numberLabel, sizeLabel } from "../figures/words";
import { sourceName } from "../state/sources";
import { lacks, useAccess } from "../state/useAccess";
import { ACCEPTED, type SystemState, useSystem } from "../state/useSystem";
import { browserZone } from "../time/zone";
import { ImportsCard } from "./system/imports";
import { RunsCard } from "./system/runs";
import { SignalsCard } from "./system/signals";
import { StorageCard } from "./system/storage";
import { WebhooksCard } from "./system/webhooks";

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd className="figure">{value}</dd>
    </div>
  );
}

/** A sample of a name as it is shown; a dash where the server does not tell. */
function shown(samples: Samples, name: string, format: (value: number) => string): string {
  const value = totalOf(samples, name);
  return value === null ? "–" : format(value);
}

/** What the parts of the server are called, by their names in `/health`. */
const PARTS: Record<string, string> = {
  store: "Store",
  ingest: "Taking readings in",
  schedule: "Schedule of sources",
  access: "Keys and audit trail",
};

/** What the latest look came to: a state that was true once says nothing of now. */
function verdictOf(health: SystemState["health"], error: unknown) {
  if (error !== null && !(error instanceof ApiError)) {
    return { tone: "bad", text: "The server does not answer" };
  }
  if (error !== null) return { tone: "bad", text: "The server refuses to say how it is" };
  if (!health) return null;
  if (health.status === "healthy") return { tone: "good", text: "Everything works" };
  return { tone: "bad", text: "Something does not work" };
}

function HealthCard({ system }: { system: SystemState }) {
  const { health, error, askedAt } = system;
  const verdict = verdictOf(health, error);
  return (
    <Card title="Health">
      {!verdict && <Skeleton />}
      {verdict && (
        <p className="card-line">
          <span className={`badge badge-${verdict.tone}`} role="status">
            {verdict.text}
          </span>
        </p>
      )}
      {error !== null && (
        <p>
          {askedAt === null
            ? "It has not answered since this page was opened."
            : `It last answered at ${clockLabel(askedAt, browserZone())}; what stands below is from then.`}{" "}
          It is asked again every few seconds.
        </p>
      )}
      {health && error === null && (
        <ul className="rows">
          {Object.entries(health.checks).map(([name, state]) => (
            <li key={name}>
              <span>{PARTS[name] ?? name}</span>
              <span className={state === "ok" ? "faint" : "bad"}>
                {state === "ok" ? "works" : state}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

/** Where readings came from, by the names of the metrics endpoint. */
const ORIGINS: Record<string, string> = {
  http: "Sent one by one or in batches",
  bulk: "Sent in bulk",
  "line-protocol": "Sent as lines of InfluxDB",
  mqtt: "Messages of the MQTT broker",
  import: "Imported files",
};

function IngestCard({ samples, rates }: { samples: Samples; rates: SystemState["rates"] }) {
  const latest = rates.at(-1);
  const line = useMemo(() => {
    return {
      userId: "",
      from: rates.map((rate) => rate.from),
      to: rates.map((rate) => rate.at),
      value: rates.map((rate) => rate.value),
      bridgeMs: 0,
    };
  }, [rates]);
  const sources = (samples.get(ACCEPTED) ?? []).filter((one) => one.value > 0);
  return (
    <Card title="Ingestion" note="since the server started">
      <dl className="figures">
        <Figure label="Readings a second" value={latest ? numberLabel(latest.value) : "–"} />
        <Figure label="Stored" value={shown(samples, ACCEPTED, countLabel)} />
        <Figure
          label="Refused"
          value={shown(samples, "pulsebase_ingest_readings_rejected_total", countLabel)}
        />
        <Figure
          label="Waiting"
          value={shown(samples, "pulsebase_ingest_queue_readings", countLabel)}
        />
      </dl>
      {rates.length > 1 && <RateLine line={line} />}
      <ul className="rows">
        {sources.map(({ labels, value }) => (
          <li key={labels.source}>
            <span>{ORIGINS[labels.source ?? ""] ?? sourceName(labels.source ?? "")}</span>
            <span className="number">{countLabel(value)}</span>
          </li>
        ))}
      </ul>
      {sources.length === 0 && (
        <p className="faint empty">Nothing has come in since the server started.</p>
      )}
    </Card>
  );
}

function RateLine({ line }: { line: Line }) {
  const span = { start: line.from[0] ?? 0, end: line.to.at(-1) ?? 1 };
  const high = numberLabel(Math.max(...line.value));
  return (
    <div className="rate">
      <Sparkline line={line} span={span} label={`Readings a second, up to ${high}`} />
      <p className="faint">
        up to {high} a second in the last {durationLabel(span.end - span.start)}
      </p>
    </div>
  );
}

function StoreCard({ samples }: { samples: Samples }) {
  const merged = totalOf(samples, "pulsebase_store_readings");
  const waiting = totalOf(samples, "pulsebase_store_unmerged_readings");
  const stored = merged === null ? "–" : countLabel(merged + (waiting ?? 0));
  return (
    <Card title="Store">
      <dl className="figures">
        <Figure label="Readings" value={stored} />
        <Figure label="Size" value={shown(samples, "pulsebase_store_size_bytes", sizeLabel)} />
        <Figure label="Memory" value={shown(samples, "process_resident_memory_bytes", sizeLabel)} />
        <Figure
          label="Open streams"
          value={shown(samples, "pulsebase_stream_subscribers", countLabel)}
        />
      </dl>
      <details className="more">
        <summary>Details</summary>
        <dl className="figures">
          <Figure
            label="Waiting for a merge"
            value={shown(samples, "pulsebase_store_unmerged_readings", countLabel)}
          />
          <Figure label="Merges" value={shown(samples, "pulsebase_store_merges", countLabel)} />
          <Figure
            label="Failed merges"
            value={shown(samples, "pulsebase_store_merge_failures", countLabel)}
          />
        </dl>
      </details>
    </Card>
  );
}

/** How connections are, in words. */
const STATES: Record<string, string> = {
  ok: "working",
  new: "not brought yet",
  waiting: "waiting to try again",
  "needs-person": "to be connected again",
};

function FreshnessCard({ samples }: { samples: Samples }) {
  const sources = samples.get("pulsebase_etl_freshness_seconds") ?? [];
  const connections = samples.get("pulsebase_etl_connections") ?? [];
  return (
    <Card title="Freshness" note="of the connection that lags most">
      {sources.length === 0 && <p className="faint empty">Nobody is connected to a source.</p>}
      <ul className="rows rows-tall">
        {sources.map(({ labels, value }) => (
          <li key={labels.source}>
            <div>
              <strong>{sourceName(labels.source ?? "")}</strong>
              <p className="faint">
                {connections
                  .filter((one) => one.labels.source === labels.source && one.value > 0)
                  .map(
                    (one) =>
                      `${countLabel(one.value)} ${STATES[one.labels.state ?? ""] ?? one.labels.state}`,
                  )
                  .join(", ")}
              </p>
            </div>
            <span>{durationLabel(value * 1000)}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** How the server is: what comes in, how fresh it is, what is stored, what the pipeline did. */
export function SystemPage() {
  const access = useAccess();
  const figures = !lacks(access, "metrics");
  const reads = !lacks(access, "read");
  const admin = !lacks(access, "admin");
  const system = useSystem(figures);
  const { samples, rates, error, askedAt } = system;
  return (
    <main className="main main-alone">
      <div className="person-head">
        <h1>System</h1>
        {askedAt && <p className="faint">As of {clockLabel(askedAt, browserZone())}</p>}
      </div>
      {error instanceof ApiError && <ErrorNotice error={error} onRetry={null} />}
      <div className="cards cards-small">
        <HealthCard system={system} />
        {samples && (
          <>
            <IngestCard samples={samples} rates={rates} />
            <StoreCard samples={samples} />
            <FreshnessCard samples={samples} />
          </>
        )}
        {!samples && figures && error === null && (
          <Card title="Ingestion">
            <Skeleton />
          </Card>
        )}
        {reads && <SignalsCard />}
        {admin && <WebhooksCard />}
        {reads && (
          <>
            <ImportsCard />
            <StorageCard />
            <RunsCard />
          </>
        )}
      </div>
      {!figures && (
        <p className="faint">
          The key “{access?.name}” does not see the server’s figures, which count everybody’s
          readings.
        </p>
      )}
    </main>
  );
}
