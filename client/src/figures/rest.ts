/** Days as resting hearts have them: resting heart rate and the night's variability, side by side. */
import type { AnswerOf } from "../api/types";
import type { Span } from "../time/range";
import { civilDay, fromWall } from "../time/zone";
import type { DayValue } from "./baseline";

const DAY_MS = 86_400_000;

export type RestingColumns = AnswerOf<"/v1/users/{user_id}/resting-heart-rate">["columns"];
export type VariabilityColumns = AnswerOf<"/v1/users/{user_id}/hrv">["columns"];

export interface RestDay {
  /** `2026-11-21`; of a night that of the morning. */
  date: string;
  start: number;
  /** Our own resting heart rate, in bpm. */
  own: number | null;
  /** What sources state, each under its method. */
  stated: { value: number; method: string | null }[];
  /** Of the night, in ms. */
  rmssd: number | null;
  sdnn: number | null;
}

/** So many civil days up to the last that a span touches, as dates; what is asked stays the same all day long. */
export function lastDates(span: Span, zone: string, days: number): { first: string; last: string } {
  const last = civilDay(Math.max(span.start, span.end - 1), zone);
  const first = Math.max(0, last - days + 1);
  const text = (day: number) => new Date(day * DAY_MS).toISOString().slice(0, 10);
  return { first: text(first), last: text(last) };
}

/** One entry a date that either answer knows, the latest first. */
export function restDays(
  resting: RestingColumns | null,
  nights: VariabilityColumns | null,
  zone: string,
): RestDay[] {
  const days = new Map<string, RestDay>();
  const dayOf = (date: string): RestDay => {
    const none = { own: null, stated: [], rmssd: null, sdnn: null };
    const day = days.get(date) ?? { date, start: fromWall(date, zone) ?? 0, ...none };
    days.set(date, day);
    return day;
  };
  resting?.date.forEach((date, i) => {
    const day = dayOf(date);
    day.own = resting.resting_heart_rate[i] ?? null;
    day.stated = (resting.stated[i] ?? []).map((one) => {
      return { value: one.resting_heart_rate, method: one.method };
    });
  });
  nights?.date?.forEach((date, i) => {
    const day = dayOf(date);
    day.rmssd = nights.rmssd[i] ?? null;
    day.sdnn = nights.sdnn[i] ?? null;
  });
  const holds = ({ own, stated, rmssd, sdnn }: RestDay) => {
    return own !== null || stated.length > 0 || rmssd !== null || sdnn !== null;
  };
  return [...days.values()].filter(holds).sort((a, b) => b.date.localeCompare(a.date));
}

/** A value a day under the name of its method. */
export interface DaySeries {
  method: string;
  days: DayValue[];
}

/** Our own resting heart rates, or where there are none those of the source that states most; null without any. */
export function restingSeries(days: readonly RestDay[], own: string): DaySeries | null {
  const found = new Map<string, DayValue[]>();
  const add = (method: string, at: number, value: number) => {
    found.set(method, [...(found.get(method) ?? []), { at, value }]);
  };
  for (const day of [...days].reverse()) {
    if (day.own !== null) add(own, day.start, day.own);
    for (const { method, value } of day.stated) if (method !== null) add(method, day.start, value);
  }
  const all = [...found].map(([method, its]) => ({ method, days: its }));
  const most = all.sort((a, b) => b.days.length - a.days.length)[0];
  return all.find(({ method }) => method === own) ?? most ?? null;
}

/** RMSSD of nights, the earliest first. */
export function variabilityDays(days: readonly RestDay[]): DayValue[] {
  return [...days].reverse().flatMap(({ start, rmssd }) => {
    return rmssd === null ? [] : [{ at: start, value: rmssd }];
  });
}
