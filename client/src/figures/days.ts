/** Daily summaries as the page shows them: one entry a day, and a line of resting heart rates. */
import type { UserSeries } from "../api/types";
import { isOfMethod } from "../charts/zones";
import { fromWall, nextMidnight } from "../time/zone";
import type { Line } from "./line";

export interface ZonePart {
  name: string;
  low: number | null;
  high: number | null;
  minutes: number;
}

export interface Day {
  /** `2026-11-21`. */
  date: string;
  start: number;
  end: number;
  resting: number | null;
  zones: ZonePart[];
}

/**
 * One entry a civil day, by day. A day may come once a method: the resting heart rate is the first
 * that any of them has, the zones are those of `method`, or without one of the source.
 */
export function daysOf(columns: UserSeries["columns"], zone: string, method: string | null): Day[] {
  if (!("date" in columns)) return [];
  const days = new Map<string, Day>();
  columns.date.forEach((date, i) => {
    const start = fromWall(date, zone);
    if (start === null) return;
    const end = nextMidnight(start, zone);
    const day = days.get(date) ?? { date, start, end, resting: null, zones: [] };
    days.set(date, day);
    day.resting ??= columns.resting_heart_rate[i] ?? null;
    const wanted = isOfMethod(columns.resting_heart_rate_method[i] ?? null, method);
    const parts = columns.heart_rate_zones[i] ?? [];
    if (wanted && parts.length > 0 && day.zones.length === 0) {
      day.zones = parts.map(({ name, min, max, minutes }) => {
        return { name, low: min, high: max, minutes: minutes ?? 0 };
      });
    }
  });
  return [...days.values()].sort((a, b) => a.start - b.start);
}

/** Names of the zones in the order of their bounds, over all days. */
export function zoneNames(days: readonly Day[]): string[] {
  const lows = new Map<string, number>();
  for (const day of days) {
    for (const part of day.zones) {
      if (!lows.has(part.name)) lows.set(part.name, part.low ?? 0);
    }
  }
  return [...lows].sort(([, a], [, b]) => a - b).map(([name]) => name);
}

export function minutesIn(day: Day, name: string): number {
  return day.zones.find((part) => part.name === name)?.minutes ?? 0;
}

export function restingLine(userId: string, days: readonly Day[]): Line {
  const known = days.filter((day) => day.resting !== null);
  return {
    userId,
    from: known.map((day) => day.start),
    to: known.map((day) => day.end),
    value: known.map((day) => day.resting ?? 0),
    bridgeMs: 0,
  };
}

export interface RestingFigures {
  latest: number;
  average: number;
  low: number;
  high: number;
  days: number;
}

export function restingFigures(days: readonly Day[]): RestingFigures | null {
  const known = days.flatMap((day) => (day.resting === null ? [] : [day.resting]));
  const latest = known.at(-1);
  if (latest === undefined) return null;
  const average = known.reduce((sum, one) => sum + one, 0) / known.length;
  return {
    latest,
    average,
    low: Math.min(...known),
    high: Math.max(...known),
    days: known.length,
  };
}
