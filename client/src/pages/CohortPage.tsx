import { useMemo } from "react";
import { CohortForm } from "../components/CohortForm";
import { RangePicker } from "../components/RangePicker";
import { cohortFields, HEART_RATE, parseCohort } from "../state/cohort";
import { goToSearch, useSearch } from "../state/navigation";
import { formatView, INTRADAY, parseView } from "../state/url";
import { useAnswer } from "../state/useAnswer";
import { useMedia } from "../state/useMedia";
import { instantText, resolveRange } from "../time/range";
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
  const choice = view.range ?? { kind: "preset" as const, preset: "7d" as const };
  // Opened or chosen anew, "the last week" ends now, at a whole minute; it does not move while it is read.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the clock is read anew with each address.
  const now = useMemo(() => Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS, [search]);
  const { start, end } = resolveRange(choice, now, null, zone);
  const span = useMemo(() => ({ start, end }), [start, end]);
  const metrics = useAnswer({ path: "/v1/metrics", query: {}, subject: "metrics" });
  const records = metrics.answer?.data ?? [];
  const recordOf = (metric: string) => records.find((one) => one.metric === metric) ?? null;
  const linkOf = (id: string, metric: string) => {
    const others = metric === HEART_RATE ? [] : [metric];
    const shown = { metric: INTRADAY, others, zones: null } as const;
    return formatView({ ...view, ...shown, people: [id], range: choice });
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
      <CohortList cohort={cohort} span={span} zone={zone} recordOf={recordOf} linkOf={linkOf} />
    </main>
  );
}
