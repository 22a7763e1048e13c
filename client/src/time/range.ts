/** Ranges of time as the reader chooses them, and what zooming and panning make of them. */
import { addCivil } from "./zone";

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The narrowest view: a few readings of a device that reports each second. */
export const MIN_SPAN_MS = 10 * SECOND_MS;
/** How far "all" goes back for people of whom the first reading is not known. */
const UNKNOWN_EXTENT_YEARS = 10;

/** Half-open [start, end), in milliseconds since 1970 UTC. */
export interface Span {
  start: number;
  end: number;
}

export type PresetId = "1h" | "24h" | "7d" | "30d" | "1y" | "all";
export type RangeChoice = { kind: "preset"; preset: PresetId } | { kind: "span"; span: Span };

export interface Preset {
  id: PresetId;
  label: string;
  /** Where a range that ends at `end` starts; null for "all", which hangs on the data. */
  startOf: ((end: number, zone: string) => number) | null;
}

/** Hours are counted on the clock, days and years on the reader's calendar. */
export const PRESETS: readonly Preset[] = [
  { id: "1h", label: "Last hour", startOf: (end) => end - HOUR_MS },
  { id: "24h", label: "24 hours", startOf: (end) => end - DAY_MS },
  { id: "7d", label: "7 days", startOf: (end, zone) => addCivil(end, zone, { days: -7 }) },
  { id: "30d", label: "30 days", startOf: (end, zone) => addCivil(end, zone, { days: -30 }) },
  { id: "1y", label: "1 year", startOf: (end, zone) => addCivil(end, zone, { years: -1 }) },
  { id: "all", label: "All", startOf: null },
];

export function isPresetId(text: string): text is PresetId {
  return PRESETS.some((preset) => preset.id === text);
}

/** Whether the range moves on with the clock. */
export function isLive(choice: RangeChoice): boolean {
  return choice.kind === "preset" && choice.preset !== "all";
}

/** From the first to just after the last reading of some people; null when nothing is known. */
export function extentOf(
  people: readonly { first_reading?: string | null; last_reading?: string | null }[],
): Span | null {
  const starts = people.flatMap((one) =>
    one.first_reading ? [Date.parse(one.first_reading)] : [],
  );
  const ends = people.flatMap((one) => (one.last_reading ? [Date.parse(one.last_reading)] : []));
  if (starts.length === 0 || ends.length === 0) return null;
  return wholeSeconds(Math.min(...starts), Math.max(...ends) + SECOND_MS);
}

/** The span that a choice stands for at the moment `now`. */
export function resolveRange(
  choice: RangeChoice,
  now: number,
  extent: Span | null,
  zone: string,
): Span {
  if (choice.kind === "span") return choice.span;
  const end = Math.ceil(now / SECOND_MS) * SECOND_MS;
  const preset = PRESETS.find((one) => one.id === choice.preset);
  if (preset?.startOf) return { start: preset.startOf(end, zone), end };
  return extent ?? { start: addCivil(end, zone, { years: -UNKNOWN_EXTENT_YEARS }), end };
}

/** The range to open with: the last day when it has readings, else everything there is. */
export function defaultRange(extent: Span | null, now: number): RangeChoice {
  const stale = extent !== null && extent.end < now - DAY_MS;
  return { kind: "preset", preset: stale ? "all" : "24h" };
}

/** The last civil week that somebody has readings in: the present one, or that up to the last reading. */
export function lastWeekOf(extent: Span | null, now: number, zone: string): Span {
  const weekTo = (end: number) => ({ start: addCivil(end, zone, { days: -7 }), end });
  const present = weekTo(now);
  return extent && extent.end < present.start ? weekTo(extent.end) : present;
}

/** A selection in any direction, widened to whole seconds and to the narrowest view. */
export function wholeSeconds(a: number, b: number): Span {
  let start = Math.floor(Math.min(a, b) / SECOND_MS) * SECOND_MS;
  let end = Math.ceil(Math.max(a, b) / SECOND_MS) * SECOND_MS;
  const lacking = MIN_SPAN_MS - (end - start);
  if (lacking > 0) {
    start -= Math.ceil(lacking / 2 / SECOND_MS) * SECOND_MS;
    end = start + MIN_SPAN_MS;
  }
  return start < 0 ? { start: 0, end: Math.max(end, MIN_SPAN_MS) } : { start, end };
}

/** The part of a span that another covers; the span itself where they do not meet. */
export function overlapOf(span: Span, other: Span | null): Span {
  const start = Math.max(span.start, other?.start ?? span.start);
  const end = Math.min(span.end, other?.end ?? span.end);
  return start < end ? { start, end } : span;
}

export function overlaps(a: Span, b: Span): boolean {
  return a.start < b.end && b.start < a.end;
}

/** `2026-11-21T10:00:00Z`; milliseconds only where there are some. */
export function instantText(instant: number): string {
  return new Date(instant).toISOString().replace(".000Z", "Z");
}
