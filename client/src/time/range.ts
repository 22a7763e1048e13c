/** Ranges of time as the reader chooses them, and what zooming and panning make of them. */
import { lastNight, unitAt } from "./civil";
import { addCivil, instantOf } from "./zone";

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

export type PresetId = "1h" | "24h" | "7d" | "30d" | "1y" | "all" | "today" | "night";
/** `wall`: the span is that of a wall clock, counted as if it were UTC, whatever zone it is shown in. */
export type RangeChoice =
  | { kind: "preset"; preset: PresetId }
  | { kind: "span"; span: Span; wall?: true };

export interface Preset {
  id: PresetId;
  label: string;
  /** The range as it is at a moment; null for "all", which hangs on the data. */
  spanAt: ((now: number, zone: string) => Span) | null;
}

const before = (startOf: (end: number, zone: string) => number) => (now: number, zone: string) => {
  const end = Math.ceil(now / SECOND_MS) * SECOND_MS;
  return { start: startOf(end, zone), end };
};

/** Hours are counted on the clock, days and years on the reader's calendar. */
export const PRESETS: readonly Preset[] = [
  { id: "1h", label: "Last hour", spanAt: before((end) => end - HOUR_MS) },
  { id: "24h", label: "24 hours", spanAt: before((end) => end - DAY_MS) },
  { id: "7d", label: "7 days", spanAt: before((end, zone) => addCivil(end, zone, { days: -7 })) },
  {
    id: "30d",
    label: "30 days",
    spanAt: before((end, zone) => addCivil(end, zone, { days: -30 })),
  },
  { id: "1y", label: "1 year", spanAt: before((end, zone) => addCivil(end, zone, { years: -1 })) },
  { id: "all", label: "All", spanAt: null },
];

/** Ranges by the clock on the wall: the civil day, and the night whose morning is its own. */
export const CIVIL_PRESETS: readonly Preset[] = [
  { id: "today", label: "Today", spanAt: (now, zone) => unitAt(now, "day", zone) },
  { id: "night", label: "Last night", spanAt: lastNight },
];

/** Whether a range is one of the calendar, and not counted back from the present. */
export function isCivil(preset: PresetId): boolean {
  return CIVIL_PRESETS.some(({ id }) => id === preset);
}

function presetOf(id: string): Preset | undefined {
  return [...PRESETS, ...CIVIL_PRESETS].find((preset) => preset.id === id);
}

export function isPresetId(text: string): text is PresetId {
  return presetOf(text) !== undefined;
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

/** The span that a choice stands for at the moment `now`, all of them as the zone's page counts time. */
export function resolveRange(
  choice: RangeChoice,
  now: number,
  extent: Span | null,
  zone: string,
): Span {
  if (choice.kind === "span") {
    const { start, end } = choice.span;
    return choice.wall ? { start: instantOf(start, zone), end: instantOf(end, zone) } : choice.span;
  }
  const preset = presetOf(choice.preset);
  if (preset?.spanAt) return preset.spanAt(now, zone);
  const end = Math.ceil(now / SECOND_MS) * SECOND_MS;
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
