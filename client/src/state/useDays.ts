import { useMemo } from "react";
import { type Day, daysOf, methodOf } from "../figures/days";
import { instantText } from "../time/range";
import { SUMMARY, type ZoneRule } from "./url";
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
  /** Whether the range is too long for zones that are worked out. */
  tooLong: boolean;
}

/** Daily summaries of the page's people over its range; null asks for nothing. */
export function useDays(page: Page | null, zones: ZoneRule | null): Days {
  const { start, end } = page?.asked ?? { start: 0, end: 0 };
  const tooLong = zones !== null && (end - start) / DAY_MS > MOST_OWN_DAYS - 1;
  const rule = tooLong ? null : zones;
  const zone = page?.zone ?? "UTC";
  const asked = page?.answerable ? page.people : [];
  const { answer, loading, error, retry } = useAnswer(
    asked.length > 0
      ? {
          path: "/v1/multi-user/timeseries",
          query: {
            metric: [SUMMARY],
            user_ids: [...asked],
            start_date: instantText(start),
            end_date: instantText(end),
            tz: zone,
            ...(rule ? { zones: rule } : {}),
          },
          subject: asked.join(" "),
        }
      : null,
  );
  const people = useMemo(() => {
    const method = methodOf(rule);
    return (answer?.series ?? []).map((one) => {
      return { userId: one.user_id, days: daysOf(one.columns, zone, method) };
    });
  }, [answer, zone, rule]);
  return { people, loading, error, retry, tooLong };
}
