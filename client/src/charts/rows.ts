/** The chart's points as rows of a table: one for each stretch of time that anybody has a point for. */
import type { Span } from "../time/range";
import { lowerBound, type Track } from "./tracks";

export interface Point {
  value: number;
  low: number;
  high: number;
}

export interface Row {
  from: number;
  to: number;
  /** In the order of the tracks; null where somebody has none. */
  points: (Point | null)[];
}

/** The first so many rows of a span, and whether there are more. */
export function rowsOf(
  tracks: readonly Track[],
  span: Span,
  most: number,
): { rows: Row[]; more: boolean } {
  const next = tracks.map((track) => lowerBound(track.x, span.start));
  const fromOf = (track: Track, i: number) => {
    const at = next[i] ?? 0;
    return (track.x[at] ?? Number.POSITIVE_INFINITY) < span.end
      ? (track.from[at] ?? Number.POSITIVE_INFINITY)
      : Number.POSITIVE_INFINITY;
  };
  const rows: Row[] = [];
  for (;;) {
    const from = Math.min(...tracks.map(fromOf));
    if (from === Number.POSITIVE_INFINITY) return { rows, more: false };
    if (rows.length === most) return { rows, more: true };
    const row: Row = { from, to: from, points: [] };
    tracks.forEach((track, i) => {
      if (fromOf(track, i) !== from) {
        row.points.push(null);
        return;
      }
      const at = next[i] ?? 0;
      next[i] = at + 1;
      row.to = track.to[at] ?? from;
      const value = track.value[at] ?? 0;
      row.points.push({ value, low: track.low[at] ?? value, high: track.high[at] ?? value });
    });
    rows.push(row);
  }
}
