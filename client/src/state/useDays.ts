import { useMemo } from "react";
import { methodOf, type ZoneRule } from "../charts/zones";
import { type Day, daysOf } from "../figures/days";
import { instantText } from "../time/range";
import { SUMMARY } from "./url";
import { useAnswer } from "./useAnswer";
import type { Page } from "./usePage";

/** Zones that are worked out from the readings are given for at most so many days at once. */
export const MOST_OWN_DAYS = 366;
const DAY_MS = 86_400_000;

export interface Days {
  people: { userId: string; days: Day[] }[];
  loading: boolean;
  error: unknown;
  retry: () => void;
  /** How the zones were made: the asked rule, or by age where no source states any; null: a source states them. */
  rule: ZoneRule | null;
  /** Whether the range is too long for zones that are worked out. */
  tooLong: boolean;
}

/** Daily summaries of the page's people over its range; null asks for nothing. */
export function useDays(page: Page | null, zones: ZoneRule | null): Days {
  const { start, end } = page?.asked ?? { start: 0, end: 0 };
  const long = (end - start) / DAY_MS > MOST_OWN_DAYS - 1;
  const zone = page?.zone ?? "UTC";
  const asked = page?.answerable ? page.people : [];
  const questionOf = (rule: ZoneRule | null) => ({
    path: "/v1/multi-user/timeseries" as const,
    query: {
      metric: [SUMMARY],
      user_ids: [...asked],
      start_date: instantText(start),
      end_date: instantText(end),
      tz: zone,
      ...(rule ? { zones: rule } : {}),
    },
    subject: asked.join(" "),
  });
  const chosen = long ? null : zones;
  const first = useAnswer(asked.length > 0 ? questionOf(chosen) : null);
  const stated = useMemo(() => {
    return peopleOf(first.answer, zone, methodOf(chosen));
  }, [first.answer, zone, chosen]);
  const none = !stated.some(({ days }) => days.some((day) => day.zones.length > 0));
  const born = asked.some((id) => page?.recordOf(id)?.birth_date);
  // Of several people, days are drawn without their zones.
  const single = asked.length === 1;
  const fallsBack =
    zones === null && single && born && first.answer !== null && !first.loading && none;
  const second = useAnswer(fallsBack && !long ? questionOf("age") : null);
  const made = useMemo(() => peopleOf(second.answer, zone, methodOf("age")), [second.answer, zone]);

  const latest = fallsBack && second.answer ? second : first;
  return {
    people: latest === second ? made : stated,
    loading: first.loading || second.loading,
    error: first.error ?? second.error,
    retry: first.error === null ? second.retry : first.retry,
    rule: latest === second ? "age" : chosen,
    tooLong: long && (zones !== null || (fallsBack && none)),
  };
}

type SummaryAnswer = {
  series: readonly { user_id: string; columns: Parameters<typeof daysOf>[0] }[];
};

function peopleOf(answer: SummaryAnswer | null, zone: string, method: string | null) {
  return (answer?.series ?? []).map((one) => {
    return { userId: one.user_id, days: daysOf(one.columns, zone, method) };
  });
}
