/** Imports of files with their course, and what connections have brought. */
import { useState } from "react";
import type { AnswerOf } from "../../api/types";
import { Answered, Card } from "../../components/Card";
import { ImportSummary } from "../../components/ImportSummary";
import { countLabel, importedName } from "../../figures/words";
import { useTick } from "../../live/useTick";
import { goToSearch, useSearch } from "../../state/navigation";
import { sourceName } from "../../state/sources";
import { useAnswer } from "../../state/useAnswer";
import { Moment } from "./Moment";

type Import = AnswerOf<"/v1/imports">["data"][number];

const LOOK_MS = 3000;
const PAGE_SIZE = 10;

const STATES: Record<Import["status"], { label: string; tone: string }> = {
  waiting: { label: "Waiting", tone: "warn" },
  running: { label: "Running", tone: "warn" },
  done: { label: "Done", tone: "good" },
  failed: { label: "Failed", tone: "bad" },
  past: { label: "Ended earlier", tone: "plain" },
};

/** What a connection has brought is named by its source and person. */
function connectionName(name: string): string {
  const [source = "", ...person] = name.split("/");
  return `${sourceName(source)} of ${person.join("/")}`;
}

function isUnderWay(one: Import): boolean {
  return one.status === "running" || one.status === "waiting";
}

export function ImportsCard() {
  const cursor = Number(new URLSearchParams(useSearch()).get("imports_after")) || null;
  const tick = useTick(LOOK_MS);
  const [opened] = useState(() => Date.now());
  const answer = useAnswer({
    path: "/v1/imports",
    query: { limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) },
    subject: `imports ${cursor}`,
    again: cursor ? 0 : Math.max(tick, opened),
  });
  const go = (after: readonly string[]) => goToSearch({ imports_after: after });
  return (
    <Card title="Imports" wide>
      <Answered
        of={answer}
        empty={({ data }) => (data.length === 0 ? "Nothing was imported yet." : null)}
      >
        {({ data, next_cursor: next }) => (
          <>
            <ul className="rows rows-tall imports">
              {data.map((one) => (
                <li key={one.id}>
                  <ImportRow one={one} now={tick} />
                </li>
              ))}
            </ul>
            <div className="card-foot">
              {cursor && (
                <button type="button" className="button" onClick={() => go([])}>
                  Newest
                </button>
              )}
              {next && (
                <button type="button" className="button" onClick={() => go([String(next)])}>
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

function ImportRow({ one, now }: { one: Import; now: number }) {
  const [open, setOpen] = useState(false);
  const { label, tone } = STATES[one.status];
  const about = (
    <>
      <span className="faint">
        {countLabel(one.readings)} {one.readings === 1 ? "reading" : "readings"} stored now
      </span>
      <span className="faint">
        <Moment at={Date.parse(one.received_at)} now={now} />
      </span>
    </>
  );
  if (one.kind === "sync") {
    return (
      <div className="import-row connection-row">
        <span className="import-name">{connectionName(one.name)}</span>
        <span className="badge badge-plain">Connection</span>
        {about}
      </div>
    );
  }
  return (
    <details
      className="import-row"
      onToggle={(event) => setOpen((event.target as HTMLDetailsElement).open)}
    >
      <summary>
        <span className="import-name">{importedName(one.name)}</span>
        <span className={`badge badge-${tone}`}>{label}</span>
        {about}
      </summary>
      {(open || isUnderWay(one)) && <Course one={one} now={now} />}
    </details>
  );
}

/** How far an import is, and what became of its files. */
function Course({ one, now }: { one: Import; now: number }) {
  const answer = useAnswer({
    path: "/v1/imports/{import_id}",
    query: {},
    inPath: { import_id: String(one.id) },
    subject: `import ${one.id}`,
    again: isUnderWay(one) ? now : 0,
  });
  return (
    <Answered
      of={answer}
      empty={({ course }) =>
        course
          ? null
          : "How it went is told until the server is started again, and this one is from before."
      }
    >
      {({ course }) =>
        course && (
          <>
            {isUnderWay(one) && (
              <progress
                max={Math.max(1, course.size_bytes)}
                value={course.read_bytes}
                aria-label={`Progress of ${one.name}`}
              />
            )}
            {course.failure && <p className="bad">{course.failure}</p>}
            <ImportSummary course={course} />
          </>
        )
      }
    </Answered>
  );
}
