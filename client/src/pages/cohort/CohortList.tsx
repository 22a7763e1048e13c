/** Who is in a cohort, with their figures and the course of each. */
import { useEffect, useMemo, useRef, useState } from "react";
import { isAbort } from "../../api/errors";
import type { CohortMember } from "../../api/types";
import { spanLabel } from "../../charts/labels";
import { digitsOf } from "../../charts/ticks";
import { Skeleton } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { Sparkline } from "../../components/Sparkline";
import { TableScroll } from "../../components/TableScroll";
import { cohortCsv } from "../../figures/csv";
import { lineOf } from "../../figures/line";
import { saveText } from "../../figures/save";
import { decimalLabel, shareLabel } from "../../figures/words";
import { boundsLabel, type Cohort, conditionLabels, HEART_RATE } from "../../state/cohort";
import { onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { useAnswer } from "../../state/useAnswer";
import { type Listing, useCohort, wholeCohort } from "../../state/useCohort";
import type { MetricRecord } from "../../state/useMetrics";
import { instantText, type Span } from "../../time/range";

/** A small chart is a hundred and some pixels wide. */
const SPARK_POINTS = 80;

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
  recordOf: (metric: string) => MetricRecord | null;
  /** The search of a person's page with the metric. */
  linkOf: (id: string, metric: string) => string;
}

/** The first of a cohort, more on request, and a file of all. */
export function CohortList({ cohort, span, zone, recordOf, linkOf }: CohortListProps) {
  const { listing, loading, error, more, retry } = useCohort(span && { cohort, span, zone });
  const metric = listing?.asked.cohort.metric ?? cohort.metric;
  const subject = subjectOf(metric, recordOf(metric));
  return (
    <section className="card" aria-label="People of the cohort" aria-busy={loading}>
      {error !== null && <ErrorNotice error={error} onRetry={retry} />}
      {!listing && loading && <Skeleton rows={6} />}
      {listing && (
        <>
          <div className="cohort-head">
            <Found listing={listing} subject={subject} />
            {listing.count > 0 && <SaveCsv listing={listing} unit={subject.unit} />}
          </div>
          {listing.count === 0 ? (
            <p className="faint empty">
              Nobody. Wider bounds, a longer period or fewer conditions find more.
            </p>
          ) : (
            <Members listing={listing} subject={subject} linkOf={(id) => linkOf(id, metric)} />
          )}
          {listing.cursor && (
            <button type="button" className="button" onClick={more}>
              Show more
            </button>
          )}
        </>
      )}
    </section>
  );
}

/** How many there are, of which metric and within which bounds. */
function Found({ listing, subject }: { listing: Listing; subject: Subject }) {
  const { cohort, span, zone } = listing.asked;
  const bounds = boundsLabel(cohort, subject.unit);
  const people = listing.count === 1 ? "person" : "people";
  const what =
    cohort.metric === HEART_RATE
      ? ` with an average ${bounds}`
      : `, ${subject.title}: ${bounds ? `average ${bounds}` : "any average"}`;
  return (
    <p className="card-line" role="status">
      <strong>{listing.count.toLocaleString()}</strong> {people}
      {[what, ...conditionLabels(cohort), spanLabel(span, zone)].join(", ")}
    </p>
  );
}

/** Asks for everybody, also those that are not listed yet. */
function SaveCsv({ listing, unit }: { listing: Listing; unit: string }) {
  const [failure, setFailure] = useState<unknown>(null);
  const [saving, setSaving] = useState(false);
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);
  const { asked } = listing;
  const { metric } = asked.cohort;
  const save = async () => {
    const mine = new AbortController();
    control.current = mine;
    setSaving(true);
    setFailure(null);
    try {
      const members = await wholeCohort(asked, mine.signal);
      const from = instantText(asked.span.start).slice(0, 10);
      const name = `pulsebase-cohort-${metric.replaceAll("_", "-")}-${from}.csv`;
      saveText(cohortCsv({ metric, unit }, asked.span, members), name, "text/csv");
    } catch (error) {
      if (!isAbort(error)) setFailure(error);
    } finally {
      if (!mine.signal.aborted) setSaving(false);
    }
  };
  return (
    <>
      <button type="button" className="button" disabled={saving || unit === ""} onClick={save}>
        Save CSV
      </button>
      {failure !== null && <ErrorNotice error={failure} onRetry={save} />}
    </>
  );
}

function Members(props: { listing: Listing; subject: Subject; linkOf: (id: string) => string }) {
  const { listing, subject, linkOf } = props;
  const { title, unit } = subject;
  const caption = listing.asked.cohort.metric === HEART_RATE ? "" : ` of ${title} in ${unit}`;
  return (
    <TableScroll label="List">
      <table className="cohort">
        <caption className="visually-hidden">
          People of the cohort, the highest average{caption} first
        </caption>
        <thead>
          <tr>
            <th scope="col" className="number">
              <span className="visually-hidden">Rank</span>
            </th>
            <th scope="col">Person</th>
            <th scope="col" className="number">
              {unit ? `Average, ${unit}` : "Average"}
            </th>
            <th scope="col" className="number wide-only">
              Coverage
            </th>
            <th scope="col" className="number wide-only">
              Readings
            </th>
            <th scope="col">Course</th>
          </tr>
        </thead>
        <tbody>
          {listing.members.map((member, index) => (
            <Member
              key={`${listing.asked.cohort.metric} ${member.user_id}`}
              member={member}
              rank={index + 1}
              listing={listing}
              subject={subject}
              search={linkOf(member.user_id)}
            />
          ))}
        </tbody>
      </table>
    </TableScroll>
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

function Member(props: {
  member: CohortMember;
  rank: number;
  listing: Listing;
  subject: Subject;
  search: string;
}) {
  const { member, rank, listing, subject, search } = props;
  const { cohort, span, zone } = listing.asked;
  const [cell, seen] = useSeen();
  const { answer } = useAnswer(
    seen
      ? {
          path: "/v1/timeseries",
          query: {
            user_id: member.user_id,
            start_date: instantText(span.start),
            end_date: instantText(span.end),
            max_points: SPARK_POINTS + Math.ceil((span.end - span.start) / 86_400_000),
            tz: zone,
            ...(cohort.metric === HEART_RATE ? {} : { metric: [cohort.metric] }),
          },
          subject: member.user_id,
        }
      : null,
  );
  const line = useMemo(() => answer && lineOf(answer, answer.interval, zone), [answer, zone]);
  return (
    <tr>
      <td className="number faint">{rank.toLocaleString()}</td>
      <th scope="row">
        <a href={addressOf("person", search)} onClick={onFollow}>
          {member.user_id}
        </a>
      </th>
      <td className="number">{decimalLabel(member.avg, subject.digits)}</td>
      <td className="number wide-only">{shareLabel(member.coverage)}</td>
      <td className="number wide-only">{member.count.toLocaleString()}</td>
      <td ref={cell} className="spark-cell">
        {line && (
          <Sparkline
            line={line}
            span={span}
            unit={subject.unit}
            digits={cohort.metric === HEART_RATE ? 0 : subject.digits}
          />
        )}
      </td>
    </tr>
  );
}
