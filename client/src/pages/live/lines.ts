/** The lines of the live page: one a person, and the figure that stands for each. */
import { useMemo } from "react";
import { clockLabel } from "../../charts/labels";
import { type Line, pointAt } from "../../figures/line";
import type { Live } from "../../live/useLive";

/** A figure older than this is shown as such. */
const STALE_MS = 60_000;

/** Lines are made anew with each piece of news and each second, since the window moves on. */
export function useLines(
  live: Live,
  metric: string,
  people: readonly string[],
  now: number,
  windowMs: number,
): Line[] {
  const who = people.join(" ");
  const { version, prioritiesOf } = live;
  const buffer = live.bufferOf(metric);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that the buffer has changed.
  return useMemo(() => {
    const since = now - windowMs;
    buffer.forgetBefore(since);
    return who ? who.split(" ").map((id) => buffer.line(id, since, prioritiesOf(id))) : [];
  }, [buffer, version, who, now, windowMs]);
}

/** The newest reading, or the one under the cursor. */
export function figureOf(line: Line, instant: number | null, now: number, zone: string) {
  const index = instant === null ? line.from.length - 1 : pointAt(line, instant);
  const at = index === null ? undefined : line.from[index];
  const value = index === null ? undefined : line.value[index];
  if (at === undefined || value === undefined) {
    return { value: null, note: `no reading ${instant === null ? "in these minutes" : "here"}` };
  }
  return { value, note: clockLabel(at, zone), faded: instant === null && now - at > STALE_MS };
}
