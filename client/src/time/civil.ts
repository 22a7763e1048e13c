/** Days, weeks, months and years of a zone's calendar, and nights by its clocks. */
import type { Span } from "./range";
import { civilDay, instantOf } from "./zone";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

export const UNITS = ["day", "week", "month", "year"] as const;
export type Unit = (typeof UNITS)[number];

/** A night is from 22:00 to 07:00, as the server takes it for the variability of nights. */
const NIGHT_FROM_MS = 22 * HOUR_MS;
const NIGHT_TO_MS = 7 * HOUR_MS;
/** Day 0 was a Thursday; weeks begin on Mondays. */
const MONDAY = 3;

/** The first day of the unit so many units after that of a day; days are counted from 1970. */
function firstDay(day: number, unit: Unit, by: number): number {
  if (unit === "day") return day + by;
  if (unit === "week") return day - ((day + MONDAY) % 7) + 7 * by;
  const date = new Date(day * DAY_MS);
  const months = unit === "month" ? date.getUTCMonth() + by : 0;
  const years = date.getUTCFullYear() + (unit === "year" ? by : 0);
  return Date.UTC(years, months, 1) / DAY_MS;
}

/** The unit of the zone's calendar that an instant lies in, from midnight to midnight, or one so many units away. */
export function unitAt(instant: number, unit: Unit, zone: string, by = 0): Span {
  const day = civilDay(instant, zone);
  const midnight = (count: number) => instantOf(firstDay(day, unit, count) * DAY_MS, zone);
  return { start: Math.max(0, midnight(by)), end: midnight(by + 1) };
}

/** Which unit a span is, exactly; null for any other stretch. */
export function unitOf(span: Span, zone: string): Unit | null {
  const same = (unit: Unit) => {
    const { start, end } = unitAt(span.start, unit, zone);
    return start === span.start && end === span.end;
  };
  return UNITS.find(same) ?? null;
}

/** The night before the morning of a civil day, counted from 1970. */
function nightBefore(day: number, zone: string): Span {
  const morning = day * DAY_MS;
  return {
    start: Math.max(0, instantOf(morning - DAY_MS + NIGHT_FROM_MS, zone)),
    end: instantOf(morning + NIGHT_TO_MS, zone),
  };
}

/** The night whose morning is that of the day an instant lies in. */
export function lastNight(instant: number, zone: string): Span {
  return nightBefore(civilDay(instant, zone), zone);
}

/** The nights that touch a span. */
export function nightsIn(span: Span, zone: string): Span[] {
  const nights: Span[] = [];
  for (let day = civilDay(span.start, zone); day <= civilDay(span.end, zone) + 1; day += 1) {
    const night = nightBefore(day, zone);
    if (night.start < span.end && night.end > span.start) nights.push(night);
  }
  return nights;
}
