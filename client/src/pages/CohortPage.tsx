import { useEffect, useMemo, useRef, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { CohortMember } from "../api/types";
import { spanLabel } from "../charts/labels";
import { Skeleton } from "../components/Card";
import { CohortForm } from "../components/CohortForm";
import { ErrorNotice } from "../components/ErrorNotice";
import { RangePicker } from "../components/RangePicker";
import { Sparkline } from "../components/Sparkline";
import { TableScroll } from "../components/TableScroll";
import { lineOf } from "../figures/line";
import { decimalLabel } from "../figures/words";
import { type Cohort, cohortFields, parseCohort } from "../state/cohort";
import { goToSearch, onFollow, useSearch } from "../state/navigation";
import { addressOf } from "../state/route";
import { formatView, INTRADAY, parseView } from "../state/url";
import { useAnswer } from "../state/useAnswer";
import { useMedia } from "../state/useMedia";
import { instantText, resolveRange, type Span } from "../time/range";
import { browserZone } from "../time/zone";

const PAGE_SIZE = 25;
/** A small chart is a hundred and some pixels wide. */
const SPARK_POINTS = 80;
const MINUTE_MS = 60_000;

const isMember = (one: CohortMember | string): one is CohortMember => typeof one === "object";

function questionOf(cohort: Cohort, span: Span, zone: string) {
  return {
    start: instantText(span.start),
    end: instantText(span.end),
    min_avg_heart_rate: Number(cohort.threshold),
    ...(cohort.age === "" ? {} : { min_age: Number(cohort.age) }),
    ...(cohort.genders.length === 0 ? {} : { gender: [...cohort.genders] }),
    ...(cohort.coverage === "" ? {} : { min_coverage: Number(cohort.coverage) / 100 }),
    include: "averages" as const,
    limit: PAGE_SIZE,
    tz: zone,
  };
}

type Question = ReturnType<typeof questionOf>;

interface Listing {
  count: number;
  members: CohortMember[];
  cursor: string | null;
}

/** The first page of a cohort, and more of it on request. */
function useCohort(question: Question) {
  const [listing, setListing] = useState<{ key: string; found: Listing } | null>(null);
  const [failure, setFailure] = useState<{ key: string; error: unknown } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const control = useRef<AbortController | null>(null);
  const key = `${attempt} ${JSON.stringify(question)}`;

  const ask = (cursor: string | null, former: readonly CohortMember[]) => {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    get("/v1/cohorts/heart-rate", { ...question, ...(cursor ? { cursor } : {}) }, mine.signal)
      .then((answer) => {
        if (!("data" in answer))
          throw new Error("This key may see what groups come to, and nobody in them.");
        const members = [...former, ...answer.data.filter(isMember)];
        setListing({ key, found: { count: answer.count, members, cursor: answer.next_cursor } });
        setFailure(null);
      })
      .catch((error: unknown) => {
        if (!isAbort(error)) setFailure({ key, error });
      });
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the question.
  useEffect(() => {
    ask(null, []);
    return () => control.current?.abort();
  }, [key]);

  const error = failure?.key === key ? failure.error : null;
  return {
    listing: listing?.found ?? null,
    loading: listing?.key !== key && error === null,
    error,
    more: () => listing && ask(listing.found.cursor, listing.found.members),
    retry: () => setAttempt((count) => count + 1),
  };
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

function Line(props: {
  member: CohortMember;
  rank: number;
  span: Span;
  zone: string;
  search: string;
}) {
  const { member, rank, span, zone, search } = props;
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
      <td className="number">{decimalLabel(member.avg)}</td>
      <td className="number wide-only">
        {member.coverage.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 })}
      </td>
      <td className="number wide-only">{member.count.toLocaleString()}</td>
      <td ref={cell} className="spark-cell">
        {line && <Sparkline line={line} span={span} />}
      </td>
    </tr>
  );
}

/** People by age, gender and average heart rate over a period. */
export function CohortPage() {
  const search = useSearch();
  const wide = useMedia("(min-width: 56rem)");
  const view = useMemo(() => parseView(search), [search]);
  const cohort = useMemo(() => parseCohort(search), [search]);
  const zone = view.zone ?? browserZone();
  const choice = view.range ?? { kind: "preset" as const, preset: "7d" as const };
  // Opened or chosen anew, "the last week" ends now, at a whole minute; it does not move while it is read.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the clock is read anew with each address.
  const now = useMemo(() => Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS, [search]);
  const { start, end } = resolveRange(choice, now, null, zone);
  const span = useMemo(() => ({ start, end }), [start, end]);
  const { listing, loading, error, more, retry } = useCohort(questionOf(cohort, span, zone));
  const linkOf = (id: string) => {
    return formatView({ ...view, people: [id], range: choice, metric: INTRADAY, zones: null });
  };
  return (
    <main className="main main-alone">
      <h1>Cohort</h1>
      <RangePicker
        choice={choice}
        span={span}
        zone={zone}
        folded={!wide}
        onPreset={(preset) => goToSearch({ range: [preset], start: [], end: [] })}
        onSpan={(next) =>
          goToSearch({ range: [], start: [instantText(next.start)], end: [instantText(next.end)] })
        }
      />
      <CohortForm
        key={JSON.stringify(cohort)}
        cohort={cohort}
        onCohort={(next) => goToSearch(cohortFields(next))}
      />
      <section className="card" aria-label="People of the cohort" aria-busy={loading}>
        {error !== null && <ErrorNotice error={error} onRetry={retry} />}
        {!listing && loading && <Skeleton rows={6} />}
        {listing && (
          <>
            <p className="card-line" role="status">
              <strong>{listing.count.toLocaleString()}</strong>{" "}
              {listing.count === 1 ? "person" : "people"} with an average above{" "}
              {Number(cohort.threshold).toLocaleString()} bpm, {spanLabel(span, zone)}
            </p>
            {listing.count === 0 ? (
              <p className="faint empty">
                Nobody. A lower threshold, a longer period or fewer conditions find more.
              </p>
            ) : (
              <TableScroll label="List">
                <table className="cohort">
                  <caption className="visually-hidden">
                    People of the cohort, the highest average first
                  </caption>
                  <thead>
                    <tr>
                      <th scope="col" className="number">
                        <span className="visually-hidden">Rank</span>
                      </th>
                      <th scope="col">Person</th>
                      <th scope="col" className="number">
                        Average, bpm
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
                      <Line
                        key={member.user_id}
                        member={member}
                        rank={index + 1}
                        span={span}
                        zone={zone}
                        search={linkOf(member.user_id)}
                      />
                    ))}
                  </tbody>
                </table>
              </TableScroll>
            )}
            {listing.cursor && (
              <button type="button" className="button" onClick={more}>
                Show more
              </button>
            )}
          </>
        )}
      </section>
    </main>
  );
}
