/** What is usual for one person: the range, the middle and the trend of a value that comes once a day. */

const WEEK_MS = 7 * 86_400_000;
/** Of fewer days no range is told. */
export const LEAST_DAYS = 14;
/** The central 95 % of a normal distribution lie within so many standard deviations. */
const CENTRAL_95 = 1.96;

export interface DayValue {
  /** Where its day begins. */
  at: number;
  value: number;
}

export interface Usual {
  latest: DayValue;
  /** Of the days before the latest. */
  baseline: number;
  /** The central 95 % of those days; null for too few. */
  range: [number, number] | null;
  /** How much it changes in a week, over all days; null for too few. */
  perWeek: number | null;
  /** How many days the baseline is of. */
  days: number;
}

const meanOf = (values: readonly number[]) =>
  values.reduce((sum, one) => sum + one, 0) / values.length;

/** The median of the slopes between all pairs of days (Theil and Sen): single odd days do not turn it. */
function slopePerWeek(days: readonly DayValue[]): number {
  const slopes = days.flatMap((a, i) => {
    return days.slice(i + 1).map((b) => ((b.value - a.value) / (b.at - a.at)) * WEEK_MS);
  });
  slopes.sort((a, b) => a - b);
  const half = slopes.length >> 1;
  const [below, above] = [slopes[slopes.length % 2 === 0 ? half - 1 : half], slopes[half]];
  return ((below ?? 0) + (above ?? 0)) / 2;
}

/**
 * The latest day against those before it, all in order. `skewed`: values like RMSSD are taken by their
 * logarithms, so that the baseline is their geometric mean. Null without a day before the latest.
 */
export function usualOf(days: readonly DayValue[], skewed: boolean): Usual | null {
  const latest = days.at(-1);
  const before = days.slice(0, -1);
  if (!latest || before.length === 0) return null;
  const values = before.map(({ value }) => (skewed ? Math.log(value) : value));
  const back = (value: number) => (skewed ? Math.exp(value) : value);
  const mean = meanOf(values);
  const enough = before.length >= LEAST_DAYS;
  const spread = Math.sqrt(
    values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / Math.max(1, values.length - 1),
  );
  return {
    latest,
    baseline: back(mean),
    range: enough ? [back(mean - CENTRAL_95 * spread), back(mean + CENTRAL_95 * spread)] : null,
    perWeek: enough ? slopePerWeek(days) : null,
    days: before.length,
  };
}
