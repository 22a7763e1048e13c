/** A track on its person's own wall clock: times counted as if the clock were in UTC, so that people of many zones share an axis. */
import { offsetMs } from "../time/zone";
import { bridgeOf } from "./buckets";
import type { Track } from "./tracks";

const COLUMNS = ["x", "from", "to", "value", "low", "high", "count"] as const;

/** The order of the rows by the clock; null where they are in order already. */
function newOrder(from: Float64Array): Uint32Array | null {
  const sorted = from.every((at, i) => i === 0 || at > (from[i - 1] ?? at));
  if (sorted) return null;
  return Uint32Array.from(from, (_at, i) => i).sort((a, b) => (from[a] ?? 0) - (from[b] ?? 0));
}

/** Two buckets of the same time, where the clocks were set back, become one. */
function merged(track: Track): Track {
  const { from, count, value, low, high } = track;
  let last = -1;
  const out = new Map(COLUMNS.map((name) => [name, new Float64Array(from.length)]));
  const at = (name: (typeof COLUMNS)[number]) => out.get(name) ?? new Float64Array();
  for (let i = 0; i < from.length; i += 1) {
    const twice = last >= 0 && at("from")[last] === from[i];
    if (!twice) {
      last += 1;
      for (const name of COLUMNS) at(name)[last] = track[name][i] ?? 0;
      continue;
    }
    const [former, more] = [at("count")[last] ?? 0, count[i] ?? 0];
    const sum = (at("value")[last] ?? 0) * former + (value[i] ?? 0) * more;
    at("value")[last] = sum / (former + more);
    at("count")[last] = former + more;
    at("low")[last] = Math.min(at("low")[last] ?? 0, low[i] ?? 0);
    at("high")[last] = Math.max(at("high")[last] ?? 0, high[i] ?? 0);
  }
  const cut = Object.fromEntries(COLUMNS.map((name) => [name, at(name).slice(0, last + 1)]));
  return { ...track, ...cut };
}

/** An hour that the clocks show twice holds the readings of both. */
export function onOwnClock(track: Track, interval: string, zone: string): Track {
  const wall = (instant: number) => instant + offsetMs(instant, zone);
  const from = track.from.map(wall);
  const to = track.to.map((end, i) => {
    const [start = 0, length = 0] = [from[i], end - (track.from[i] ?? end)];
    // Where the clocks are changed within a bucket, it ends by the new time, unless that is before it begins.
    return length === 0 || wall(end) > start ? wall(end) : start + length;
  });
  const shifted = { ...track, x: track.x.map(wall), from, to };
  const order = newOrder(from);
  if (!order) return shifted;
  const sorted = Object.fromEntries(
    COLUMNS.map((name) => [name, Float64Array.from(order, (i) => shifted[name][i] ?? 0)]),
  ) as Pick<Track, (typeof COLUMNS)[number]>;
  const together = track.raw ? { ...shifted, ...sorted } : merged({ ...shifted, ...sorted });
  return { ...together, bridgeMs: bridgeOf(interval, together) };
}
