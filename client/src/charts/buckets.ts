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

/** The longest silence after which a line of this interval still goes on, in milliseconds. */
export function bridgeOf(interval: string): number {
  return interval === "raw" || interval === "1s" ? SILENCE_MS : 0;
}
