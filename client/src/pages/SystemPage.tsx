import { useMemo, useState } from "react";
import type { Run } from "../api/types";
import { clockLabel, dateLabel } from "../charts/labels";
import { Answered, Card, Skeleton } from "../components/Card";
import { ErrorNotice } from "../components/ErrorNotice";
import { Sparkline } from "../components/Sparkline";
import { TableScroll } from "../components/TableScroll";
import type { Line } from "../figures/line";
import { type Samples, totalOf } from "../figures/promtext";
import { agoLabel, durationLabel, numberLabel, sizeLabel } from "../figures/words";
import { useTick } from "../live/useTick";
import { goToSearch, useSearch } from "../state/navigation";
import { useAnswer } from "../state/useAnswer";
import { ACCEPTED, type SystemState, useSystem } from "../state/useSystem";
import { browserZone } from "../time/zone";

const RUNS_EVERY_MS = 15_000;
const PAGE_SIZE = 20;

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

function HealthCard({ health }: { health: SystemState["health"] }) {
  const healthy = health?.status === "healthy";
  return (
    <Card title="Health">
      {!health && <Skeleton />}
      {health && (
        <>
          <p className="card-line">
            <span className={`badge badge-${healthy ? "good" : "bad"}`} role="status">
              {healthy ? "Everything works" : "Something does not work"}
            </span>
          </p>
          <ul className="rows">
            {Object.entries(health.checks).map(([name, state]) => (
              <li key={name}>
                <span>{name}</span>
                <span className={state === "ok" ? "faint" : "bad"}>{state}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}

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
        <Figure
          label="Stored"
          value={shown(samples, ACCEPTED, (value) => value.toLocaleString())}
        />
        <Figure
          label="Refused"
          value={shown(samples, "pulsebase_ingest_readings_rejected_total", (value) => {
            return value.toLocaleString();
          })}
        />
        <Figure
          label="Waiting"
          value={shown(samples, "pulsebase_ingest_queue_readings", (value) => {
            return value.toLocaleString();
          })}
        />
      </dl>
      {rates.length > 1 && <RateLine line={line} />}
      <ul className="rows">
        {sources.map(({ labels, value }) => (
          <li key={labels.source}>
            <span>{labels.source}</span>
            <span className="number">{value.toLocaleString()}</span>
          </li>
        ))}
      </ul>
      {sources.length === 0 && <p className="faint empty">Nothing has come in yet.</p>}
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
  const count = (value: number) => value.toLocaleString();
  return (
    <Card title="Store">
      <dl className="figures">
        <Figure label="Size" value={shown(samples, "pulsebase_store_size_bytes", sizeLabel)} />
        <Figure
          label="Waiting for a merge"
          value={shown(samples, "pulsebase_store_unmerged_readings", count)}
        />
        <Figure label="Merges" value={shown(samples, "pulsebase_store_merges", count)} />
        <Figure
          label="Failed merges"
          value={shown(samples, "pulsebase_store_merge_failures", count)}
        />
        <Figure
          label="Open streams"
          value={shown(samples, "pulsebase_stream_subscribers", count)}
        />
        <Figure label="Memory" value={shown(samples, "process_resident_memory_bytes", sizeLabel)} />
      </dl>
    </Card>
  );
}

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
              <strong>{labels.source}</strong>
              <p className="faint">
                {connections
                  .filter((one) => one.labels.source === labels.source && one.value > 0)
                  .map((one) => `${one.value.toLocaleString()} ${one.labels.state}`)
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

const OUTCOMES: Record<Run["outcome"], string> = {
  done: "good",
  postponed: "warn",
  stopped: "bad",
  failed: "bad",
  missing: "warn",
};

function RunsCard() {
  const search = useSearch();
  const cursor = Number(new URLSearchParams(search).get("runs_after")) || null;
  const tick = useTick(RUNS_EVERY_MS);
  const [opened] = useState(() => Date.now());
  const answer = useAnswer({
    path: "/v1/etl/runs",
    query: { limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) },
    subject: `runs ${cursor}`,
    // Older pages do not change.
    again: cursor ? 0 : Math.max(tick, opened),
  });
  return (
    <Card title="Runs of the pipeline" wide>
      <Answered
        of={answer}
        empty={({ data }) => (data.length === 0 ? "There was no run yet." : null)}
      >
        {({ data, next_cursor: next }) => (
          <>
            <RunTable runs={data} now={tick} />
            <div className="card-foot">
              {cursor && (
                <button
                  type="button"
                  className="button"
                  onClick={() => goToSearch({ runs_after: [] })}
                >
                  Newest
                </button>
              )}
              {next && (
                <button
                  type="button"
                  className="button"
                  onClick={() => goToSearch({ runs_after: [String(next)] })}
                >
                  Older
                </button>
              )}
            </div>
          </>
        )}
      </Answered>
    </Card>
  );
}

function RunTable({ runs, now }: { runs: readonly Run[]; now: number }) {
  const zone = browserZone();
  return (
    <TableScroll label="Runs">
      <table>
        <caption className="visually-hidden">Runs, the newest first</caption>
        <thead>
          <tr>
            <th scope="col">Started</th>
            <th scope="col">Outcome</th>
            <th scope="col">Source</th>
            <th scope="col">Person</th>
            <th scope="col" className="number">
              Read
            </th>
            <th scope="col" className="number">
              Written
            </th>
            <th scope="col" className="number">
              Refused
            </th>
            <th scope="col" className="number">
              Took
            </th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => {
            const started = Date.parse(run.started);
            return (
              <tr key={run.id}>
                <td
                  className="moment"
                  title={`${dateLabel(started, zone)}, ${clockLabel(started, zone)}`}
                >
                  {agoLabel(Math.min(started, now), now)}
                </td>
                <td>
                  <span className={`badge badge-${OUTCOMES[run.outcome]}`}>{run.outcome}</span>
                  {run.error && <p className="faint">{run.error}</p>}
                </td>
                <td>
                  {run.source} <span className="faint">{run.data_set}</span>
                </td>
                <th scope="row">{run.user_id}</th>
                <td className="number">{run.read.toLocaleString()}</td>
                <td className="number">{run.written.toLocaleString()}</td>
                <td className="number">{run.rejected.toLocaleString()}</td>
                <td className="number">{numberLabel(run.duration_s)} s</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </TableScroll>
  );
}

/** How the server is: what comes in, how fresh it is, what the pipeline did. */
export function SystemPage() {
  const { samples, health, rates, error, askedAt } = useSystem();
  return (
    <main className="main main-alone">
      <div className="person-head">
        <h1>System</h1>
        {askedAt && <p className="faint">As of {clockLabel(askedAt, browserZone())}</p>}
      </div>
      {error !== null && <ErrorNotice error={error} onRetry={null} />}
      <div className="cards cards-small">
        <HealthCard health={health} />
        {samples ? (
          <>
            <IngestCard samples={samples} rates={rates} />
            <StoreCard samples={samples} />
            <FreshnessCard samples={samples} />
          </>
        ) : (
          error === null && (
            <Card title="Ingestion">
              <Skeleton />
            </Card>
          )
        )}
        <RunsCard />
      </div>
    </main>
  );
}
