import type { ImportCourse } from "../api/types";
import { countLabel } from "../figures/words";
import { LOCALE } from "../locale";
import { inFieldNames } from "../state/importForm";
import { type Column, DataTable } from "./DataTable";

type Kind = ImportCourse["kinds"][number];

const SHOWN_PROBLEMS = 10;

function spanLabel(first: string | null, last: string | null): string {
  if (!first || !last) return "–";
  return first === last ? first : `${first} to ${last}`;
}

function count(value: number, what: string): string {
  return `${value.toLocaleString(LOCALE)} ${what}${value === 1 ? "" : "s"}`;
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd className="figure">{value}</dd>
    </div>
  );
}

/** A list with a heading, left out where there is nothing to list. */
function Lines({ title, lines }: { title: string; lines: readonly [string, string | null][] }) {
  if (lines.length === 0) return null;
  return (
    <section className="import-list">
      <h3>{title}</h3>
      <ul className="rows">
        {lines.map(([text, number]) => (
          <li key={text}>
            <span className="import-text">{inFieldNames(text)}</span>
            {number !== null && <span className="number">{number}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

const COLUMNS: readonly Column[] = [
  { title: "Kind" },
  ...["Files", "Read", "Written", "Already there", "Repeated", "Refused", "Summaries"].map(
    (title) => ({ title, number: true }),
  ),
  { title: "From – to" },
];

function KindTable({ kinds }: { kinds: readonly Kind[] }) {
  return (
    <DataTable
      label="Kinds of files"
      caption="Counts by kind of file"
      columns={COLUMNS}
      rows={kinds.map((kind) => ({
        key: kind.kind,
        cells: [
          kind.kind,
          countLabel(kind.files),
          countLabel(kind.read),
          countLabel(kind.written),
          countLabel(kind.unchanged),
          countLabel(kind.repeated),
          countLabel(kind.rejected),
          countLabel(kind.days),
          spanLabel(kind.first_day, kind.last_day),
        ],
      }))}
    />
  );
}

/** What of the files was not read: those that may hold vital signs first, then the rest by their endings. */
function PassedOver({ course }: { course: ImportCourse }) {
  const { named, alike, others, endings, named_count, other_count } = course.unread;
  const more = Object.entries(alike).map(([series, files]): [string, string] => {
    return [`more like ${series}`, files.toLocaleString(LOCALE)];
  });
  const examples = others.length > 0 ? `, such as ${others.join(", ")}` : "";
  const rest = Object.entries(endings).map(
    ([ending, files]) => `${files.toLocaleString(LOCALE)} ${ending}`,
  );
  const within = course.kinds.flatMap((kind) => {
    return Object.entries(kind.passed_over).map(([what, times]): [string, string] => {
      return [`${kind.kind}: ${what}`, times.toLocaleString(LOCALE)];
    });
  });
  return (
    <>
      <Lines
        title={`${count(named_count, "file")} that may hold vital signs, not read`}
        lines={[
          ...named.map(({ name, what }): [string, null] => [`${name}: ${what}`, null]),
          ...more,
        ]}
      />
      <Lines title="Not read in files" lines={within} />
      <Lines
        title="Other files, not read"
        lines={other_count > 0 ? [[`${rest.join(", ")}${examples}`, null]] : []}
      />
    </>
  );
}

/** The summary of an import as it has come, or as it ended. */
export function ImportSummary({ course }: { course: ImportCourse }) {
  const problems = course.files.filter((file) => file.problem !== null);
  const remarks = course.files.filter((file) => file.remark !== null);
  const more = problems.length - SHOWN_PROBLEMS;
  return (
    <div className="import-summary">
      {course.read > 0 && (
        <dl className="figures">
          <Figure label="Read" value={course.read.toLocaleString(LOCALE)} />
          <Figure label="Written" value={course.written.toLocaleString(LOCALE)} />
          <Figure label="Already there" value={course.unchanged.toLocaleString(LOCALE)} />
          <Figure label="Repeated" value={course.repeated.toLocaleString(LOCALE)} />
          <Figure label="Refused" value={course.rejected.toLocaleString(LOCALE)} />
          {course.days > 0 && (
            <Figure label="Daily summaries" value={course.days.toLocaleString(LOCALE)} />
          )}
          <Figure label="People" value={course.people.toLocaleString(LOCALE)} />
          <Figure label="From – to" value={spanLabel(course.first_day, course.last_day)} />
        </dl>
      )}
      {course.remark && <p className="faint">{course.remark}</p>}
      {course.kinds.length > 0 && <KindTable kinds={course.kinds} />}
      <Lines
        title="CSV was read as"
        lines={course.kinds.flatMap((kind) => {
          return Object.entries(kind.read_as).map(([text, files]): [string, string] => {
            return [text, count(files, "file")];
          });
        })}
      />
      <Lines
        title="Files with a problem"
        lines={[
          ...problems
            .slice(0, SHOWN_PROBLEMS)
            .map(({ name, problem }): [string, null] => [`${name}: ${problem}`, null]),
          ...(more > 0 ? [[`and ${count(more, "more file")}`, null] as [string, null]] : []),
        ]}
      />
      <Lines
        title="Readings by metric"
        lines={course.metrics.map((each) => [
          each.metric.replaceAll("_", " "),
          (each.read - each.rejected).toLocaleString(LOCALE),
        ])}
      />
      <Lines
        title="Refused, by reason"
        lines={course.refused.map((each) => [each.reason, each.count.toLocaleString(LOCALE)])}
      />
      <Lines
        title="Remarks"
        lines={remarks
          .slice(0, SHOWN_PROBLEMS)
          .map(({ name, remark }): [string, null] => [`${name}: ${remark}`, null])}
      />
      <PassedOver course={course} />
    </div>
  );
}
