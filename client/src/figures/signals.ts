/** Rules of signals in words. */
import type { Signal } from "../api/types";
import { durationLabel } from "./words";

const UNITS_MS: Record<string, number> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `10 min` for `10m`; what is written otherwise stays as it is. */
export function spelledDuration(text: string): string {
  const [, number, unit = ""] = /^(\d+)([smhd])$/.exec(text) ?? [];
  const unitMs = UNITS_MS[unit];
  return number === undefined || unitMs === undefined
    ? text
    : durationLabel(Number(number) * unitMs);
}

/** `Heart rate above 120 bpm for 2 min`, `No heart rate for 6 hr`. */
export function ruleText(
  rule: Pick<Signal, "metric" | "above" | "below" | "silent_for" | "for">,
  known: { title: string; unit: string } | null,
): string {
  const name = rule.metric.replaceAll("_", " ");
  const title = known?.title ?? name[0]?.toUpperCase() + name.slice(1);
  if (rule.silent_for) {
    return `No ${title[0]?.toLowerCase()}${title.slice(1)} for ${spelledDuration(rule.silent_for)}`;
  }
  const bound = rule.above == null ? `below ${rule.below}` : `above ${rule.above}`;
  const length = rule.for ? ` for ${spelledDuration(rule.for)}` : "";
  return `${title} ${bound}${known ? ` ${known.unit}` : ""}${length}`;
}
