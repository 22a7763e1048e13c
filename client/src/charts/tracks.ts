/** Answers of the server as tracks: one a person, in numbers, with its gaps found. */
import { columnsOf, type UserSeries } from "../api/types";
import type { Span } from "../state/range";
import { nextMidnight } from "../state/zone";

const BUCKET_MS: Record<string, number> = {
  "1s": 1000,
  "1m": 60_000,
  "15m": 15 * 60_000,
  "1h": 3_600_000,
};

/**
 * Raw readings further apart than this are not joined. Devices report each 1 to 15 seconds, and a
 * minute of silence is also what leaves a minute bucket empty, so both rungs break alike.
 */
export const RAW_GAP_MS = 60_000;

export interface Track {
  userId: string;
  raw: boolean;
  /** Where each point is drawn: the instant of a reading, the middle of a bucket's asked part. */
  x: number[];
  /** The stretch each point speaks of, [from, to); both the instant itself for a reading. */
  from: number[];
  to: number[];
  value: number[];
  low: number[];
  high: number[];
  count: number[];
}

function bucketEnd(start: number, interval: string, zone: string): number {
  const length = BUCKET_MS[interval];
  return length === undefined ? nextMidnight(start, zone) : start + length;
}

/**
 * The buckets at both ends may reach out of the asked span (today's does, until midnight); drawn
 * at the middle of the part that was asked for, they are still in view.
 */
export function toTrack(series: UserSeries, interval: string, zone: string, asked: Span): Track {
  const columns = columnsOf(series);
  const from = columns.timestamp.map((text) => Date.parse(text));
  const value = columns.value;
  if (value) {
    const count = value.map(() => 1);
    const at = { x: from, from, to: from };
    return { userId: series.user_id, raw: true, ...at, value, low: value, high: value, count };
  }
  const to = from.map((start) => bucketEnd(start, interval, zone));
  return {
    userId: series.user_id,
    raw: false,
    x: from.map((start, i) => {
      return (Math.max(start, asked.start) + Math.min(to[i] ?? start, asked.end)) / 2;
    }),
    from,
    to,
    value: columns.avg,
    low: columns.min,
    high: columns.max,
    count: columns.count,
  };
}

/** Whether the line breaks between a point and the next. */
export function gapAfter(track: Track, index: number): boolean {
  const end = track.to[index];
  const next = track.from[index + 1];
  if (end === undefined || next === undefined) return false;
  return next - end > (track.raw ? RAW_GAP_MS : 0);
}

/** The point that speaks of an instant, or null when none does. */
export function pointAt(track: Track, instant: number): number | null {
  let low = 0;
  let high = track.from.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((track.from[middle] ?? 0) <= instant) low = middle + 1;
    else high = middle;
  }
  const distance = (i: number) => {
    const from = track.from[i] ?? Number.POSITIVE_INFINITY;
    return Math.max(from - instant, instant - (track.to[i] ?? from), 0);
  };
  const best = distance(low - 1) <= distance(low) ? low - 1 : low;
  return distance(best) <= (track.raw ? RAW_GAP_MS / 2 : 0) ? best : null;
}

export interface Summary {
  average: number;
  low: number;
  high: number;
}

/** A person's figures over a stretch; averages weigh by their readings, as the buckets' own do. */
export function summarise(track: Track, start: number, end: number): Summary | null {
  let sum = 0;
  let count = 0;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < track.x.length; i += 1) {
    const x = track.x[i] ?? 0;
    if (x < start || x >= end) continue;
    const weight = track.count[i] ?? 0;
    sum += (track.value[i] ?? 0) * weight;
    count += weight;
    low = Math.min(low, track.low[i] ?? low);
    high = Math.max(high, track.high[i] ?? high);
  }
  return count > 0 ? { average: sum / count, low, high } : null;
}
