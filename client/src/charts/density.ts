/**
 * Enough for a crisp line, few enough that it does not cover its band: a day comes in minutes on
 * a desktop's chart and in quarters of an hour on a phone's.
 */
const POINTS_PER_PX = 1.5;
const FEWEST = 300;
const MOST = 4000;
/** Widths are taken in steps, so that a window being resized does not ask at every pixel. */
const STEP = 100;
const DAY_MS = 86_400_000;

/**
 * How many points to ask for, given the chart's width in CSS pixels, the length of a view and that
 * of the longer window asked for around it. Days are the coarsest buckets there are, so whoever asks
 * for many years takes a point for each day.
 */
export function maxPointsFor(width: number, lengthMs: number, viewMs = lengthMs): number {
  const wanted = Math.ceil((width * POINTS_PER_PX) / STEP) * STEP;
  const points = Math.min(MOST, Math.max(FEWEST, wanted)) * (lengthMs / viewMs);
  // A range that starts and ends within a day touches one more, and a time change may add another.
  const days = Math.ceil(lengthMs / DAY_MS) + 2;
  return Math.max(days, Math.ceil(points));
}
