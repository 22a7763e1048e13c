import { useMemo } from "react";
import { CohortForm } from "../components/CohortForm";
import { ErrorNotice } from "../components/ErrorNotice";
import { RangePicker } from "../components/RangePicker";
import { parseOrder } from "../figures/cohortRows";
import { cohortFields, HEART_RATE, parseCohort } from "../state/cohort";
import { goToSearch, useSearch } from "../state/navigation";
import { formatView, INTRADAY, parseView } from "../state/url";
import { useAnswer } from "../state/useAnswer";
import { useEverybody } from "../state/useEverybody";
import { useMedia } from "../state/useMedia";
import { extentOf, instantText, lastWeekOf, type RangeChoice, resolveRange } from "../time/range";
import { browserZone } from "../time/zone";
import { CohortList } from "./cohort/CohortList";

const MINUTE_MS = 60_000;

/** People by age, gender and average of a metric over a period. */
export function CohortPage() {
  const search = useSearch();
  const wide = useMedia("(min-width: 56rem)");
  const view = useMemo(() => parseView(search), [search]);
  const cohort = useMemo(() => parseCohort(search), [search]);
  const zone = view.zone ?? browserZone();
  const everybody = useEverybody();
  const extent = useMemo(() => extentOf([...everybody.users.values()]), [everybody.users]);
  const settled = everybody.complete || everybody.error !== null;
  // Opened or chosen anew, "the last week" ends now, at a whole minute; it does not move while it is read.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the clock is read anew with each address.
  const now = useMemo(() => Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS, [search]);
  const week = lastWeekOf(extent, now, zone);
  const late = week.end < now;
  const choice: RangeChoice =
    view.range ?? (late ? { kind: "span", span: week } : { kind: "preset", preset: "7d" });
  const { start, end } = resolveRange(choice, now, extent, zone);
  const span = useMemo(() => ({ start, end }), [start, end]);
  // Where the range hangs on the data, it is asked for once it is known.
  const fixed = view.range?.kind === "span" || (view.range && view.range.preset !== "all");
  const known = settled || Boolean(fixed);
  const metrics = useAnswer({ path: "/v1/metrics", query: {}, subject: "metrics" });
  const records = metrics.answer?.data ?? [];
  const recordOf = (metric: string) => records.find((one) => one.metric === metric) ?? null;
  const order = useMemo(() => parseOrder(new URLSearchParams(search).get("sort")), [search]);
  const linkOf = (ids: readonly string[], metric: string) => {
    const others = metric === HEART_RATE ? [] : [metric];
    const shown = { metric: INTRADAY, others, zones: null } as const;
    return formatView({ ...view, ...shown, people: [...ids], range: choice });
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
        metrics={records}
        unitOf={(metric) => (metric === HEART_RATE ? "bpm" : (recordOf(metric)?.unit ?? ""))}
        onCohort={(next) => goToSearch(cohortFields(next))}
      />
      {view.range === null && late && settled && (
        <p className="notice" role="status">
          Nobody has readings in the last 7 days. This is the week up to the last reading.
        </p>
      )}
      {everybody.error !== null && (
        <ErrorNotice error={everybody.error} onRetry={everybody.retry} />
      )}
      <CohortList
        cohort={cohort}
        span={known ? span : null}
        zone={zone}
        users={everybody.users}
        order={order}
        recordOf={recordOf}
        linkOf={linkOf}
      />
    </main>
  );
}
