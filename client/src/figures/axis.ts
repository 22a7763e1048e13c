/** Where the ticks of a plain chart stand. */
import type { Span } from "../time/range";
import { addCivil, nextMidnight, offsetMs } from "../time/zone";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

const CLOCK_STEPS = [
  1000,
  5000,
  10_000,
  15_000,
  30_000,
  MINUTE_MS,
  2 * MINUTE_MS,
  5 * MINUTE_MS,
  10 * MINUTE_MS,
  15 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  3 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
];
const DAY_STEPS = [1, 2, 7, 14, 28, 61, 91, 182, 365, 730, 1825];

export interface Ticks {
  at: number[];
  stepMs: number;
}

/** On round hours of the zone's clock, or on its midnights; no more than `most`. */
export function timeTicks(span: Span, most: number, zone: string): Ticks {
  const wanted = (span.end - span.start) / Math.max(1, most);
  const clock = CLOCK_STEPS.find((step) => step >= wanted);
  const at: number[] = [];
  if (clock !== undefined) {
    const offset = offsetMs(span.start, zone);
    const first = Math.ceil((span.start + offset) / clock) * clock - offset;
    for (let tick = first; tick <= span.end; tick += clock) at.push(tick);
    return { at, stepMs: clock };
  }
  const days = DAY_STEPS.find((step) => step * DAY_MS >= wanted) ?? 3650;
  let tick = nextMidnight(span.start - 1, zone);
  for (; tick <= span.end; tick = addCivil(tick, zone, { days })) at.push(tick);
  return { at, stepMs: days * DAY_MS };
}

/** Whole tens, or more, no more than `most`. */
export function valueTicks(range: Span, most: number): number[] {
  const wanted = (range.end - range.start) / Math.max(1, most);
  const step = [10, 20, 50, 100].find((one) => one >= wanted) ?? 200;
  const at: number[] = [];
  for (let tick = Math.ceil(range.start / step) * step; tick <= range.end; tick += step) {
    at.push(tick);
  }
  return at;
}

/** Round ends, on tens, between which values differ as far as they can. */
export function dotScale(values: readonly number[]): [number, number] {
  const low = Math.floor(Math.min(...values) / 10) * 10;
  return [low, Math.max(low + 10, Math.ceil(Math.max(...values) / 10) * 10)];
}
