/** What is stored of whom: readings by person, and a person's by metric. */
import { useState } from "react";
import type { User } from "../../api/types";
import { dateLabel } from "../../charts/labels";
import { Answered, Card } from "../../components/Card";
import { type Column, DataTable } from "../../components/DataTable";
import { countLabel } from "../../figures/words";
import { onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { useAnswer } from "../../state/useAnswer";
import { browserZone } from "../../time/zone";

const PAGE_SIZE = 20;

function daysLabel(first: string | null, last: string | null): string {
  if (!first || !last) return "–";
  const [from, to] = [first, last].map((at) => dateLabel(Date.parse(at), browserZone()));
  return from === to ? `${from}` : `${from} – ${to}`;
}

export function StorageCard() {
  // Where the pages before begin, so that there is a way back.
  const [cursors, setCursors] = useState<readonly string[]>([]);
  const cursor = cursors.at(-1);
  const answer = useAnswer({
    path: "/v1/users",
    query: { limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) },
    subject: "storage",
  });
  return (
    <Card title="Stored by person and metric" wide>
      <Answered
        of={answer}
        empty={({ data }) => (data.length === 0 ? "There is nobody here yet." : null)}
      >
        {({ data, next_cursor: next }) => (
          <>
            <ul className="rows rows-tall imports">
              {data.map((user) => (
                <li key={user.user_id}>
                  <PersonRow user={user} />
                </li>
              ))}
            </ul>
            <div className="card-foot">
              {cursor && (
                <button
                  type="button"
                  className="button"
                  onClick={() => setCursors(cursors.slice(0, -1))}
                >
                  Back
                </button>
              )}
              {next && (
                <button
                  type="button"
                  className="button"
                  onClick={() => setCursors([...cursors, next])}
                >
                  More people
                </button>
              )}
            </div>
          </>
        )}
      </Answered>
    </Card>
  );
}

function PersonRow({ user }: { user: User }) {
  const [open, setOpen] = useState(false);
  const readings = `${countLabel(user.readings)} ${user.readings === 1 ? "reading" : "readings"}`;
  return (
    <details
      className="import-row"
      onToggle={(event) => setOpen((event.target as HTMLDetailsElement).open)}
    >
      <summary>
        <span className="import-name">
          {user.name ?? user.user_id} {user.name && <span className="faint">{user.user_id}</span>}
        </span>
        <span className="faint">{readings}</span>
        <span className="faint">{daysLabel(user.first_reading, user.last_reading)}</span>
      </summary>
      {open && <ByMetric user={user} />}
    </details>
  );
}

const COLUMNS: readonly Column[] = [
  { title: "Metric" },
  { title: "Readings", number: true },
  { title: "First – last" },
];

function ByMetric({ user }: { user: User }) {
  const answer = useAnswer({
    path: "/v1/users/{user_id}/metrics",
    query: {},
    inPath: { user_id: user.user_id },
    subject: user.user_id,
  });
  return (
    <Answered of={answer} empty={({ data }) => (data.length === 0 ? "No readings yet." : null)}>
      {({ data }) => (
        <>
          <DataTable
            label={`Metrics of ${user.name ?? user.user_id}`}
            caption="Readings by metric"
            columns={COLUMNS}
            rows={data.map((one) => ({
              key: one.metric,
              cells: [
                `${one.title}, ${one.unit}`,
                countLabel(one.readings),
                daysLabel(one.first_reading, one.last_reading),
              ],
            }))}
          />
          <p className="card-foot">
            <a
              href={addressOf("person", `?people=${encodeURIComponent(user.user_id)}`)}
              onClick={onFollow}
            >
              Show {user.name ?? user.user_id}
            </a>
          </p>
        </>
      )}
    </Answered>
  );
}
