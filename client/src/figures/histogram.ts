/** How many people have which average. */

/** More bars than this are too thin to be told apart. */
const MOST_BARS = 40;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

export interface Bar {
  low: number;
  high: number;
  count: number;
}

/** Bars of one round width over all values; none without values. A value on an edge belongs to the bar above it. */
export function histogramOf(values: readonly number[]): Bar[] {
  if (values.length === 0) return [];
  const low = values.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY);
  const high = values.reduce((most, one) => Math.max(most, one), Number.NEGATIVE_INFINITY);
  const step = STEPS.find((one) => (high - low) / one <= MOST_BARS - 1) ?? 10_000;
  const first = Math.floor(low / step + 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  const edge = (i: number) => Number(((first + i) * step).toPrecision(10));
  const bars = Array.from({ length: count }, (_, i) => {
    return { low: edge(i), high: edge(i + 1), count: 0 };
  });
  for (const value of values) {
    const bar = bars[Math.floor(value / step + 1e-9) - first];
    if (bar) bar.count += 1;
  }
  return bars;
}
