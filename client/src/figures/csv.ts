/** What is seen as CSV (RFC 4180): one row a point, times in UTC, numbers as the server gave them. */

import type { Span } from "../time/range";
import { instantText } from "../time/range";
import type { CohortRow } from "./cohortRows";
import type { Day } from "./days";

const line = (cells: readonly (string | number)[]) => cells.map(cellText).join(",");

/** Spreadsheets take a text that begins so for a formula, and compute it: an apostrophe says that it is a text. */
const FORMULA = /^[=+\-@\t\r\n]/;

function cellText(cell: string | number): string {
  const text = typeof cell === "string" && FORMULA.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A series as it is drawn: readings, or buckets with their extremes. */
export interface Series {
  userId: string;
  raw: boolean;
  from: ArrayLike<number>;
  to: ArrayLike<number>;
  value: ArrayLike<number>;
  low: ArrayLike<number>;
  high: ArrayLike<number>;
  count: ArrayLike<number>;
}

const reaches = (start: number, end: number, span: Span) =>
  start < span.end && Math.max(end, start + 1) > span.start;

/** How times are written: instants with their Z, or the times of everybody's own clock without one. */
const timeText = (local: boolean) => (at: number) =>
  instantText(at).slice(0, local ? -1 : undefined);
const columnNames = (names: readonly string[], local: boolean) =>
  names.map((name) => (local && TIMES.has(name) ? `${name}_local` : name));
const TIMES: ReadonlySet<string> = new Set(["timestamp", "start", "end"]);

/** The points that lie in a span, or reach into it; `local`: times are those of everybody's own clock. */
export function seriesCsv(all: readonly Series[], span: Span, local = false): string {
  const text = timeText(local);
  const raw = all.every((series) => series.raw);
  const head = raw
    ? ["user_id", "timestamp", "value"]
    : ["user_id", "start", "end", "avg", "min", "max", "count"];
  const rows = all.flatMap(({ userId, from, to, value, low, high, count }) =>
    Array.from(from).flatMap((start, i) => {
      const end = to[i] ?? start;
      if (!reaches(start, end, span)) return [];
      const at = text(start);
      if (raw) return [line([userId, at, value[i] ?? ""])];
      const figures = [value, low, high, count].map((column) => column[i] ?? "");
      return [line([userId, at, text(end), ...figures])];
    }),
  );
  return `${[line(columnNames(head, local)), ...rows].join("\r\n")}\r\n`;
}

/** Several metrics in one file: who, what, in which unit. A reading is a stretch of no length, counted once. */
export function metricsCsv(
  all: readonly { metric: string; unit: string; tracks: readonly Series[] }[],
  span: Span,
  local = false,
): string {
  const text = timeText(local);
  const head = ["user_id", "metric", "unit", "start", "end", "avg", "min", "max", "count"];
  const rows = all.flatMap(({ metric, unit, tracks }) =>
    tracks.flatMap(({ userId, from, to, value, low, high, count }) =>
      Array.from(from).flatMap((start, i) => {
        const end = to[i] ?? start;
        if (!reaches(start, end, span)) return [];
        const figures = [value, low, high, count].map((column) => column[i] ?? "");
        return [line([userId, metric, unit, text(start), text(end), ...figures])];
      }),
    ),
  );
  return `${[line(columnNames(head, local)), ...rows].join("\r\n")}\r\n`;
}

/** Who is in a cohort: who they are, the average of a metric over a span, in its unit, and what it is of. */
export function cohortCsv(
  { metric, unit }: { metric: string; unit: string },
  span: Span,
  rows: readonly CohortRow[],
): string {
  const who = ["user_id", "name", "gender", "age"];
  const what = ["metric", "unit", "start", "end", "avg", "count", "minutes"];
  const head = [...who, ...what, "coverage", "coverage_of_own_time"];
  const [start, end] = [instantText(span.start), instantText(span.end)];
  const lines = rows.map(({ member, name, gender, age, coverage }) => {
    const { user_id, avg, count, minutes } = member;
    const person = [user_id, name ?? "", gender ?? "", age ?? ""];
    const figures = [metric, unit, start, end, avg, count, minutes];
    return line([...person, ...figures, member.coverage, coverage]);
  });
  return `${[line(head), ...lines].join("\r\n")}\r\n`;
}

export function daysCsv(people: readonly { userId: string; days: readonly Day[] }[]): string {
  const names = [
    ...new Set(people.flatMap((one) => one.days.flatMap((day) => day.zones.map((z) => z.name)))),
  ];
  const head = ["user_id", "date", "resting_heart_rate", ...names.map((name) => `${name} minutes`)];
  const rows = people.flatMap(({ userId, days }) =>
    days.map((day) => {
      const minutes = names.map((name) => day.zones.find((z) => z.name === name)?.minutes ?? "");
      return line([userId, day.date, day.resting ?? "", ...minutes]);
    }),
  );
  return `${[line(head), ...rows].join("\r\n")}\r\n`;
}
