/** A line of a plain chart: points in time, with the stretches they speak of, so that gaps stay gaps. */
import { columnsOf, type UserSeries } from "../api/types";
import { bridgeOf, bucketEnd } from "../charts/buckets";
import type { Span } from "../time/range";

export interface Line {
  userId: string;
  from: number[];
  to: number[];
  value: number[];
  /** The longest stretch without a point that the line still goes over. */
  bridgeMs: number;
}

export function lineOf(series: UserSeries, interval: string, zone: string): Line {
  const columns = columnsOf(series);
  const from = columns.timestamp.map((text) => Date.parse(text));
  const to = columns.value ? from : from.map(bucketEnd(interval, zone));
  const value = columns.value ?? columns.avg;
  return { userId: series.user_id, from, to, value, bridgeMs: bridgeOf(interval, { from, to }) };
}

/** Where a point is drawn: in the middle of what it speaks of. */
export function xOf(line: Line, index: number): number {
  return ((line.from[index] ?? 0) + (line.to[index] ?? 0)) / 2;
}

export function breaksAfter(line: Line, index: number): boolean {
  const next = line.from[index + 1];
  return next === undefined || next - (line.to[index] ?? 0) > line.bridgeMs;
}

/** The unbroken stretches, as the first and the last drawn instant of each that lie in a span. */
export function piecesOf(line: Line, span: Span): [number, number][] {
  const pieces: [number, number][] = [];
  let open: [number, number] | null = null;
  line.from.forEach((_, i) => {
    const x = xOf(line, i);
    if (x < span.start || x > span.end) return;
    if (open) open[1] = x;
    else {
      open = [x, x];
      pieces.push(open);
    }
    if (breaksAfter(line, i)) open = null;
  });
  return pieces;
}

/** The point that speaks of an instant; null where none does. */
export function pointAt(line: Line, instant: number): number | null {
  let best: number | null = null;
  let least = Number.POSITIVE_INFINITY;
  line.from.forEach((from, i) => {
    const distance = Math.max(from - instant, instant - (line.to[i] ?? from), 0);
    if (distance < least) [best, least] = [i, distance];
  });
  return least <= line.bridgeMs / 2 ? best : null;
}

/** The lowest and the highest value of all lines within a span; null where there is none. */
export function extremesOf(lines: readonly Line[], span: Span): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const line of lines) {
    line.value.forEach((value, i) => {
      const x = xOf(line, i);
      if (x < span.start || x > span.end) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    });
  }
  return low > high ? null : [low, high];
}

/** Of all lines within a span, with room above and below, on whole tens; never so low that noise looks like news. */
export function heightOf(lines: readonly Line[], span: Span): Span {
  const seen = extremesOf(lines, span);
  if (!seen) return { start: 40, end: 120 };
  const [low, high] = seen;
  const lacking = Math.max(0, 20 - (high - low)) / 2;
  const start = Math.max(0, Math.floor((low - lacking - 2) / 10) * 10);
  return { start, end: Math.ceil((high + lacking + 2) / 10) * 10 };
}
