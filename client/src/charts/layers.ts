/** Daily summaries as layers of the chart: resting heart rates, and the zones of one person. */
import type { MultiSeries, UserSeries } from "../api/types";
import { fromWall, nextMidnight } from "../time/zone";
import type { RestingDay, Zone } from "./scene";
import { isOfMethod } from "./zones";

/** Above the topmost zone's lower edge there is no more than this. */
const HIGHEST_BPM = 220;

type Summaries = Extract<UserSeries["columns"], { date: unknown }>;

function summariesOf(series: UserSeries): Summaries | null {
  return "date" in series.columns ? series.columns : null;
}

/** Each day once, the first source that states it, from midnight to midnight in the person's zone. */
export function restingDays(answer: MultiSeries, zoneOf: (userId: string) => string): RestingDay[] {
  return answer.series.flatMap((series) => {
    const columns = summariesOf(series);
    const seen = new Set<string>();
    const days: RestingDay[] = [];
    columns?.date.forEach((date, i) => {
      const value = columns.resting_heart_rate[i] ?? null;
      const zone = zoneOf(series.user_id);
      const start = fromWall(date, zone);
      if (value === null || start === null || seen.has(date)) return;
      seen.add(date);
      days.push({ userId: series.user_id, value, start, end: nextMidnight(start, zone) });
    });
    return days;
  });
}

export interface PersonZones {
  userId: string;
  zones: Zone[];
}

/** The latest zones by a method (null: those that sources state) of the first of some people who has any. */
export function zonesOf(
  answer: MultiSeries,
  people: readonly string[],
  method: string | null,
): PersonZones | null {
  for (const userId of people) {
    const series = answer.series.find((one) => one.user_id === userId);
    const columns = series ? summariesOf(series) : null;
    for (let i = (columns?.date.length ?? 0) - 1; i >= 0; i -= 1) {
      if (!isOfMethod(columns?.resting_heart_rate_method[i] ?? null, method)) continue;
      const zones = (columns?.heart_rate_zones[i] ?? []).flatMap(({ name, min, max }): Zone[] => {
        return min === null ? [] : [{ name, min, max: max ?? HIGHEST_BPM }];
      });
      if (zones.length > 0) return { userId, zones };
    }
  }
  return null;
}
