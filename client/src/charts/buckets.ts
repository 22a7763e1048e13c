/** What the server's points speak of: where buckets end, and how long a silence a line of them goes over. */
import { nextMidnight } from "../time/zone";

const BUCKET_MS: Record<string, number> = {
  "1s": 1000,
  "1m": 60_000,
  "15m": 15 * 60_000,
  "1h": 3_600_000,
};

/**
 * Raw readings further apart than this are not joined. Devices report each 1 to 15 seconds, and a
 * minute of silence is also what leaves a minute bucket empty, so both rungs break alike. Buckets of
 * a second break alike too: of a device that reports each ten seconds most are empty.
 */
export const SILENCE_MS = 60_000;

/** Finds where the bucket that begins at an instant ends. Days are civil days of the zone. */
export function bucketEnd(interval: string, zone: string): (start: number) => number {
  const length = BUCKET_MS[interval];
  return length === undefined ? (start) => nextMidnight(start, zone) : (start) => start + length;
}

/** The longest silence that the interval alone explains. */
function leastBridge(interval: string): number {
  return interval === "raw" || interval === "1s" ? SILENCE_MS : 0;
}

/** A line goes on where no more than so many points of its cadence, less one, are missing. */
const CADENCES = 3;
/** Of fewer silences none is a habit. */
const LEAST_SILENCES = 3;
/** At least this part of all points keeps to the cadence, within half of it; else there is none. */
const REGULAR_PART = 2 / 3;

/** What points speak of, [from, to) each, by time. */
interface Points {
  from: ArrayLike<number>;
  to: ArrayLike<number>;
}

/**
 * The longest silence after which a line of this interval still goes on, in milliseconds. What comes
 * less often than the interval explains, but regularly, as values of five minutes in buckets of one,
 * is joined: three times its cadence is a gap. The cadence is the median of what is there.
 */
export function bridgeOf(interval: string, { from, to }: Points): number {
  const least = leastBridge(interval);
  const silences = new Float64Array(Math.max(0, from.length - 1));
  let long = 0;
  for (let i = 0; i < silences.length; i += 1) {
    const silence = (from[i + 1] ?? 0) - (to[i] ?? 0);
    silences[i] = silence;
    if (silence > least) long += 1;
  }
  if (silences.length < LEAST_SILENCES || 2 * long <= silences.length) return least;
  const silence = silences.sort()[silences.length >> 1] ?? least;
  const length = (to[0] ?? 0) - (from[0] ?? 0);
  const cadence = silence + length;
  const regular = silences.filter((one) => Math.abs(one - silence) <= cadence / 2).length;
  if (regular < REGULAR_PART * silences.length) return least;
  return Math.max(least, CADENCES * cadence - length);
}
