/** Stretches of a range without readings, as far as the resolution of an answer tells. */

import type { Span } from "../time/range";

/** What points of a series speak of, [from, to) each, by time. */
export interface Stretches {
  from: ArrayLike<number>;
  to: ArrayLike<number>;
}

const DAY_MS = 86_400_000;

/** The finest resolution that a range of a length is searched at: a month still by minutes. */
export function gapRung(lengthMs: number): "1m" | "15m" | "1h" | "1d" {
  const days = lengthMs / DAY_MS;
  if (days <= 32) return "1m";
  if (days <= 367) return "15m";
  return days <= 3660 ? "1h" : "1d";
}

export interface Gaps {
  /** The resolution: shorter gaps are not seen. */
  interval: string;
  /** The longest first. */
  found: Span[];
}

/** Longer than `bridgeMs`, within a span and with both of its ends, the longest first. */
export function gapsOf({ from, to }: Stretches, span: Span, bridgeMs: number): Span[] {
  const gaps: Span[] = [];
  let end = span.start;
  for (let i = 0; i <= from.length; i += 1) {
    const next = Math.min(from[i] ?? span.end, span.end);
    if (next - end > bridgeMs) gaps.push({ start: end, end: next });
    end = Math.max(end, to[i] ?? end);
  }
  return gaps.sort((a, b) => b.end - b.start - (a.end - a.start));
}
