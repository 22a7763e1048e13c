/** Who is in a cohort, with their figures and the course of each. */
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { User } from "../../api/types";
import { rangeText, spanLabel } from "../../charts/labels";
import { digitsOf } from "../../charts/ticks";
import { Skeleton } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { Sparkline } from "../../components/Sparkline";
import { TableScroll } from "../../components/TableScroll";
import {
  type CohortRow,
  type Column,
  cohortRow,
  type Order,
  orderText,
  sorted,
} from "../../figures/cohortRows";
import { cohortCsv } from "../../figures/csv";
import { extremesOf, lineOf } from "../../figures/line";
import { saveText } from "../../figures/save";
import { decimalLabel, shareLabel } from "../../figures/words";
import { LOCALE } from "../../locale";
import { boundsLabel, type Cohort, conditionLabels, HEART_RATE } from "../../state/cohort";
import { goToSearch, onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { useMostPeople } from "../../state/useAccess";
import { useAnswer } from "../../state/useAnswer";
import { type Asked, useCohort } from "../../state/useCohort";
import type { MetricRecord } from "../../state/useMetrics";
import { instantText, type Span } from "../../time/range";
import { Histogram } from "./Histogram";

/** A small chart is a hundred and some pixels wide. */
const SPARK_POINTS = 80;
const ROWS_A_PAGE = 25;

/** What the figures are of: names and digits. */
interface Subject {
  title: string;
  unit: string;
  /** Decimals of averages. */
  digits: number;
}

function subjectOf(metric: string, record: MetricRecord | null): Subject {
  if (metric === HEART_RATE) return { title: "Heart rate", unit: "bpm", digits: 1 };
  const title = record?.title ?? metric.replaceAll("_", " ");
  return { title, unit: record?.unit ?? "", digits: digitsOf(record) };
}

interface CohortListProps {
  cohort: Cohort;
  /** null while it is not known. */
  span: Span | null;
  zone: string;
  /** What is known of people, as far as it is there. */
  users: ReadonlyMap<string, User>;
  order: Order;
  recordOf: (metric: string) => MetricRecord | null;
  /** The search of a page about people, with the metric. */
  linkOf: (ids: readonly string[], metric: string) => string;
}

/** The people of a cohort in any order, their averages as a histogram, and a file of all. */
export function CohortList(props: CohortListProps) {
  const { cohort, span, zone, users, order, recordOf } = props;
  const asked = span && { cohort, span, zone };
  const bounded = cohort.over !== "" || cohort.upTo !== "";
  const { listing, loading, error, retry } = useCohort(asked);
  const all = useCohort(
    asked && bounded ? { ...asked, cohort: { ...cohort, over: "", upTo: "" } } : null,
  );
  const about = listing?.asked ?? asked;
  const metric = about?.cohort.metric ?? cohort.metric;
  const subject = subjectOf(metric, recordOf(metric));
  const rows = useMemo(() => {
    if (!listing) return [];
    const { asked: said, members } = listing;
    const least = said.cohort.coverage === "" ? 0 : Number(said.cohort.coverage) / 100;
    const found = members.map((one) => {
      return cohortRow(one, users.get(one.user_id), said.span, said.zone);
    });
    return sorted(
      found.filter((row) => row.coverage >= least),
      order,
    );
  }, [listing, users, order]);
  const averages = (all.listing ?? listing)?.members.map(({ avg }) => avg) ?? [];
  return (
    <section className="card" aria-label="People of the cohort" aria-busy={loading}>
      {error !== null && <ErrorNotice error={error} onRetry={retry} />}
      {!listing && loading && <Skeleton rows={6} />}
      {listing && (
        <>
          <div className="cohort-head">
            <Found asked={listing.asked} count={rows.length} subject={subject} />
            {!listing.complete && <span className="faint">more are being counted …</span>}
          </div>
          <Histogram averages={averages} cohort={listing.asked.cohort} unit={subject.unit} />
          {rows.length === 0 ? (
            <p className="faint empty">
              Nobody. Wider bounds, a longer period or fewer conditions find more.
            </p>
          ) : (
            <Members
              key={JSON.stringify(listing.asked)}
              asked={listing.asked}
              rows={rows}
              order={order}
              subject={subject}
              linkOf={(ids) => props.linkOf(ids, metric)}
            />
          )}
        </>
      )}
    </section>
  );
}

/** How many there are, of which metric and within which conditions. */
function Found({ asked, count, subject }: { asked: Asked; count: number; subject: Subject }) {
  const { cohort, span, zone } = asked;
  const bounds = boundsLabel(cohort, subject.unit);
  const people = count === 1 ? "person" : "people";
  const ofHeart = cohort.metric === HEART_RATE;
  const average = bounds ? `average ${bounds}` : "any average";
  const what = ofHeart
    ? ` with ${bounds ? "an " : ""}${average}`
    : `, ${subject.title}: ${average}`;
  return (
    <p className="card-line" role="status">
      <strong>{count.toLocaleString(LOCALE)}</strong> {people}
      {[what, ...conditionLabels(cohort), spanLabel(span, zone)].join(", ")}
    </p>
  );
}

function saveCsv({ cohort, span }: Asked, unit: string, rows: readonly CohortRow[]): void {
  const { metric } = cohort;
  const from = instantText(span.start).slice(0, 10);
  const name = `pulsebase-cohort-${metric.replaceAll("_", "-")}-${from}.csv`;
  saveText(cohortCsv({ metric, unit }, span, rows), name, "text/csv");
}

const HEADS: readonly { column: Column; label: string; number?: true; wide?: true }[] = [
  { column: "person", label: "Person" },
  { column: "name", label: "Name", wide: true },
  { column: "gender", label: "Gender", wide: true },
  { column: "age", label: "Age", number: true, wide: true },
  { column: "average", label: "Average", number: true },
  { column: "coverage", label: "Coverage", number: true, wide: true },
  { column: "readings", label: "Readings", number: true, wide: true },
];

interface MembersProps {
  asked: Asked;
  rows: readonly CohortRow[];
  order: Order;
  subject: Subject;
  linkOf: (ids: readonly string[]) => string;
}

function Members({ asked, rows, order, subject, linkOf }: MembersProps) {
  const { unit } = subject;
  const [shown, setShown] = useState(ROWS_A_PAGE);
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [extremes, setExtremes] = useState<ReadonlyMap<string, readonly [number, number]>>(
    new Map(),
  );
  const tell = useCallback((id: string, seen: readonly [number, number]) => {
    setExtremes((former) => new Map([...former, [id, seen]]));
  }, []);
  const scale = useMemo(() => {
    const all = [...extremes.values()];
    if (all.length === 0) return null;
    return [
      Math.min(...all.map(([low]) => low)),
      Math.max(...all.map(([, high]) => high)),
    ] as const;
  }, [extremes]);
  const most = useMostPeople();
  const compared =
    chosen.length > 0 ? chosen : rows.slice(0, most).map((row) => row.member.user_id);
  const course =
    scale && rangeText(scale[0], scale[1], asked.cohort.metric === HEART_RATE ? 0 : subject.digits);
  return (
    <>
      <div className="cohort-tools">
        <a className="button" href={addressOf("compare", linkOf(compared))} onClick={onFollow}>
          {compareLabel(compared.length, chosen.length > 0 || rows.length <= most)}
        </a>
        <button
          type="button"
          className="button"
          disabled={unit === ""}
          onClick={() => saveCsv(asked, unit, rows)}
        >
          Save CSV
        </button>
        <span className="faint">
          Coverage is of the time between a person’s first and last reading within the period.
        </span>
      </div>
      <TableScroll label="List">
        <table className="cohort">
          <caption className="visually-hidden">People of the cohort with their averages</caption>
          <thead>
            <tr>
              <th scope="col">
                <span className="visually-hidden">To compare</span>
              </th>
              {HEADS.map(({ column, label, number, wide }) => (
                <SortHead
                  key={column}
                  column={column}
                  order={order}
                  className={[number ? "number" : "", wide ? "wide-only" : ""].join(" ").trim()}
                  label={column === "average" && unit ? `${label}, ${unit}` : label}
                />
              ))}
              <th scope="col">{course ? `Course, ${course} ${unit}` : "Course"}</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, shown).map((row) => (
              <Member
                key={row.member.user_id}
                row={row}
                asked={asked}
                subject={subject}
                scale={scale}
                search={linkOf([row.member.user_id])}
                chosen={chosen.includes(row.member.user_id)}
                full={chosen.length >= most}
                onChosen={(id) => {
                  const others = chosen.filter((one) => one !== id);
                  setChosen(others.length < chosen.length ? others : [...chosen, id]);
                }}
                onExtremes={tell}
              />
            ))}
          </tbody>
        </table>
      </TableScroll>
      {rows.length > shown && (
        <button
          type="button"
          className="button"
          onClick={() => setShown((count) => count + ROWS_A_PAGE)}
        >
          Show more
        </button>
      )}
    </>
  );
}

function compareLabel(count: number, all: boolean): string {
  if (count === 1) return "Show on the chart";
  return all ? `Compare these ${count}` : `Compare the first ${count}`;
}

/** The head of a column, which sorts by it: words upwards first, numbers downwards. */
function SortHead(props: { column: Column; order: Order; label: string; className: string }) {
  const { column, order, label, className } = props;
  const active = order.column === column;
  const descending = active ? !order.descending : !["person", "name", "gender"].includes(column);
  const state = order.descending ? "descending" : "ascending";
  return (
    <th scope="col" className={className} aria-sort={active ? state : "none"}>
      <button
        type="button"
        className="sort"
        onClick={() => goToSearch({ sort: [orderText({ column, descending })] })}
      >
        {label}
        <span aria-hidden="true">{active ? (order.descending ? " ↓" : " ↑") : ""}</span>
      </button>
    </th>
  );
}

/** Whether an element has come near the window, once it has. */
function useSeen() {
  const target = useRef<HTMLTableCellElement>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const element = target.current;
    if (!element || seen) return;
    const observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true),
      { rootMargin: "200px" },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [seen]);
  return [target, seen] as const;
}

interface MemberProps {
  row: CohortRow;
  asked: Asked;
  subject: Subject;
  /** Of all small charts. */
  scale: readonly [number, number] | null;
  search: string;
  chosen: boolean;
  full: boolean;
  onChosen: (id: string) => void;
  onExtremes: (id: string, seen: readonly [number, number]) => void;
}

function Member(props: MemberProps) {
  const { row, asked, subject, scale, search, chosen, full, onChosen, onExtremes } = props;
  const { cohort, span, zone } = asked;
  const { member, name, gender, age } = row;
  const { user_id: id } = member;
  const [cell, seen] = useSeen();
  const { answer } = useAnswer(
    seen
      ? {
          path: "/v1/timeseries",
          query: {
            user_id: id,
            start_date: instantText(span.start),
            end_date: instantText(span.end),
            max_points: SPARK_POINTS + Math.ceil((span.end - span.start) / 86_400_000),
            tz: zone,
            ...(cohort.metric === HEART_RATE ? {} : { metric: [cohort.metric] }),
          },
          subject: id,
        }
      : null,
  );
  const line = useMemo(() => answer && lineOf(answer, answer.interval, zone), [answer, zone]);
  useEffect(() => {
    const found = line && extremesOf([line], span);
    if (found) onExtremes(id, found);
  }, [line, span, id, onExtremes]);
  return (
    <tr>
      <td>
        <input
          type="checkbox"
          aria-label={`Compare ${id}`}
          checked={chosen}
          disabled={full && !chosen}
          onChange={() => onChosen(id)}
        />
      </td>
      <th scope="row">
        <a href={addressOf("person", search)} onClick={onFollow}>
          {id}
        </a>
      </th>
      <td className="wide-only">{name ?? "–"}</td>
      <td className="wide-only">{gender ?? "–"}</td>
      <td className="number wide-only">{age ?? "–"}</td>
      <td className="number">{decimalLabel(member.avg, subject.digits)}</td>
      <td className="number wide-only">{shareLabel(row.coverage)}</td>
      <td className="number wide-only">{member.count.toLocaleString(LOCALE)}</td>
      <td ref={cell} className="spark-cell">
        {line && (
          <Sparkline
            line={line}
            span={span}
            scale={scale}
            unit={subject.unit}
            digits={cohort.metric === HEART_RATE ? 0 : subject.digits}
          />
        )}
      </td>
    </tr>
  );
}
