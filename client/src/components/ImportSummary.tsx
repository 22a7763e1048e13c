import type { ImportCourse } from "../api/types";
import { inFieldNames } from "../state/importForm";
import { TableScroll } from "./TableScroll";

type Kind = ImportCourse["kinds"][number];

const SHOWN_PROBLEMS = 10;

function spanLabel(first: string | null, last: string | null): string {
  if (!first || !last) return "–";
  return first === last ? first : `${first} to ${last}`;
}

function count(value: number, what: string): string {
  return `${value.toLocaleString()} ${what}${value === 1 ? "" : "s"}`;
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

function KindTable({ kinds }: { kinds: readonly Kind[] }) {
  return (
    <TableScroll label="Kinds of files">
      <table>
        <caption className="visually-hidden">Counts by kind of file</caption>
        <thead>
          <tr>
            <th scope="col">Kind</th>
            {["Files", "Read", "Written", "Already there", "Repeated", "Refused", "Summaries"].map(
              (name) => (
                <th key={name} scope="col" className="number">
                  {name}
                </th>
              ),
            )}
            <th scope="col">From – to</th>
          </tr>
        </thead>
        <tbody>
          {kinds.map((kind) => (
            <tr key={kind.kind}>
              <th scope="row">{kind.kind}</th>
              {[
                kind.files,
                kind.read,
                kind.written,
                kind.unchanged,
                kind.repeated,
                kind.rejected,
                kind.days,
              ].map((value, place) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: columns have no other name
                <td key={place} className="number">
                  {value.toLocaleString()}
                </td>
              ))}
              <td className="moment">{spanLabel(kind.first_day, kind.last_day)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}

/** What of the files was not read: those that may hold vital signs first, then the rest by their endings. */
function PassedOver({ course }: { course: ImportCourse }) {
  const { named, alike, others, endings, named_count, other_count } = course.unread;
  const more = Object.entries(alike).map(([series, files]): [string, string] => {
    return [`more like ${series}`, files.toLocaleString()];
  });
  const examples = others.length > 0 ? `, such as ${others.join(", ")}` : "";
  const rest = Object.entries(endings).map(
    ([ending, files]) => `${files.toLocaleString()} ${ending}`,
  );
  const within = course.kinds.flatMap((kind) => {
    return Object.entries(kind.passed_over).map(([what, times]): [string, string] => {
      return [`${kind.kind}: ${what}`, times.toLocaleString()];
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
          <Figure label="Read" value={course.read.toLocaleString()} />
          <Figure label="Written" value={course.written.toLocaleString()} />
          <Figure label="Already there" value={course.unchanged.toLocaleString()} />
          <Figure label="Repeated" value={course.repeated.toLocaleString()} />
          <Figure label="Refused" value={course.rejected.toLocaleString()} />
          {course.days > 0 && (
            <Figure label="Daily summaries" value={course.days.toLocaleString()} />
          )}
          <Figure label="People" value={course.people.toLocaleString()} />
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
          (each.read - each.rejected).toLocaleString(),
        ])}
      />
      <Lines
        title="Refused, by reason"
        lines={course.refused.map((each) => [each.reason, each.count.toLocaleString()])}
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
