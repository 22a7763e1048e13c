/** Answers of the server as tracks: one a person, in numbers, with its gaps found. */
import { columnsOf, type UserSeries } from "../api/types";
import type { Span } from "../time/range";
import { bridgeOf, bucketEnd } from "./buckets";

/** Columns of numbers in typed arrays, so that they pass from a worker to the page without a copy. */
export interface Track {
  userId: string;
  raw: boolean;
  /** The longest silence after which the line still goes on, in milliseconds. */
  bridgeMs: number;
  /** Where each point is drawn: the instant of a reading, the middle of a bucket's asked part. */
  x: Float64Array;
  /** The stretch each point speaks of, [from, to); both the instant itself for a reading. */
  from: Float64Array;
  to: Float64Array;
  value: Float64Array;
  low: Float64Array;
  high: Float64Array;
  count: Float64Array;
}

/**
 * The buckets at both ends may reach out of the asked span (today's does, until midnight); drawn
 * at the middle of the part that was asked for, they are still in view.
 */
export function toTrack(series: UserSeries, interval: string, zone: string, asked: Span): Track {
  const columns = columnsOf(series);
  const from = Float64Array.from(columns.timestamp, (text) => Date.parse(text));
  const { user_id: userId } = series;
  if (columns.value) {
    const value = Float64Array.from(columns.value);
    const count = new Float64Array(value.length).fill(1);
    const at = { x: from, from, to: from };
    return {
      userId,
      raw: true,
      bridgeMs: bridgeOf("raw", at),
      ...at,
      value,
      low: value,
      high: value,
      count,
    };
  }
  const to = from.map(bucketEnd(interval, zone));
  return {
    userId,
    raw: false,
    bridgeMs: bridgeOf(interval, { from, to }),
    x: from.map((start, i) => {
      return (Math.max(start, asked.start) + Math.min(to[i] ?? start, asked.end)) / 2;
    }),
    from,
    to,
    value: Float64Array.from(columns.avg),
    low: Float64Array.from(columns.min),
    high: Float64Array.from(columns.max),
    count: Float64Array.from(columns.count),
  };
}

/** Whether the line breaks between a point and the next. */
export function gapAfter(track: Track, index: number): boolean {
  const end = track.to[index];
  const next = track.from[index + 1];
  if (end === undefined || next === undefined) return false;
  return next - end > track.bridgeMs;
}

/** The first position whose number is not below the wanted one; the length when there is none. */
export function lowerBound(numbers: Float64Array, wanted: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The point that speaks of an instant, or null when none does. */
export function pointAt(track: Track, instant: number): number | null {
  let after = lowerBound(track.from, instant);
  if (track.from[after] === instant) after += 1;
  const distance = (i: number) => {
    const from = track.from[i] ?? Number.POSITIVE_INFINITY;
    return Math.max(from - instant, instant - (track.to[i] ?? from), 0);
  };
  const best = distance(after - 1) <= distance(after) ? after - 1 : after;
  return distance(best) <= track.bridgeMs / 2 ? best : null;
}
