/** What the pipeline did: one row a run. */
import { useState } from "react";
import type { Run } from "../../api/types";
import { Answered, Card } from "../../components/Card";
import { type Column, DataTable } from "../../components/DataTable";
import { countLabel, numberLabel } from "../../figures/words";
import { useTick } from "../../live/useTick";
import { goToSearch, useSearch } from "../../state/navigation";
import { sourceName } from "../../state/sources";
import { useAnswer } from "../../state/useAnswer";
import { Moment } from "./Moment";

const RUNS_EVERY_MS = 15_000;
const PAGE_SIZE = 20;

const OUTCOMES: Record<Run["outcome"], string> = {
  done: "good",
  postponed: "warn",
  stopped: "bad",
  failed: "bad",
  missing: "warn",
};

export function RunsCard() {
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

const COLUMNS: readonly Column[] = [
  { title: "Started" },
  { title: "Outcome" },
  { title: "Source" },
  { title: "Person" },
  { title: "Read", number: true },
  { title: "Written", number: true },
  { title: "Refused", number: true },
  { title: "Took", number: true },
];

function RunTable({ runs, now }: { runs: readonly Run[]; now: number }) {
  return (
    <DataTable
      label="Runs"
      caption="Runs, the newest first"
      columns={COLUMNS}
      rows={runs.map((run) => ({
        key: run.id ?? run.started,
        cells: [
          <Moment key="started" at={Date.parse(run.started)} now={now} />,
          <span key="outcome">
            <span className={`badge badge-${OUTCOMES[run.outcome]}`}>{run.outcome}</span>
            {run.error && <p className="faint">{run.error}</p>}
          </span>,
          <span key="source">
            {sourceName(run.source)}{" "}
            <span className="faint">{run.data_set.replaceAll("_", " ")}</span>
          </span>,
          run.user_id,
          countLabel(run.read),
          countLabel(run.written),
          countLabel(run.rejected),
          `${numberLabel(run.duration_s)} s`,
        ],
      }))}
    />
  );
}
