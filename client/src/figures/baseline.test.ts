import { describe, expect, it } from "vitest";
import { usualOf } from "./baseline";

const DAY = 86_400_000;
const days = (values: number[]) => values.map((value, i) => ({ at: i * DAY, value }));

describe("what is usual", () => {
  it("is the mean and the central 95 % of the days before the latest", () => {
    const values = Array.from({ length: 20 }, (_, i) => 50 + (i % 2) * 2);
    const found = usualOf(days([...values, 60]), false);
    // Ten fifties and ten fifty-twos: a standard deviation of sqrt(20 / 19).
    const spread = Math.sqrt(20 / 19);
    expect(found?.latest.value).toBe(60);
    expect(found?.baseline).toBe(51);
    expect(found?.range?.[0]).toBeCloseTo(51 - 1.96 * spread, 10);
    expect(found?.range?.[1]).toBeCloseTo(51 + 1.96 * spread, 10);
    expect(found?.days).toBe(20);
  });

  it("takes skewed values by their logarithms", () => {
    const values = Array.from({ length: 20 }, (_, i) => (i % 2 ? 20 : 80));
    const found = usualOf(days([...values, 40]), true);
    expect(found?.baseline).toBeCloseTo(40, 10);
    expect((found?.range?.[0] ?? 0) * (found?.range?.[1] ?? 0)).toBeCloseTo(1600, 6);
  });

  it("has a trend that single odd days do not turn", () => {
    const rising = Array.from({ length: 21 }, (_, i) => 50 + i / 7);
    rising[3] = 90;
    expect(usualOf(days(rising), false)?.perWeek).toBeCloseTo(1, 10);
  });

  it("is not told of too few days", () => {
    expect(usualOf(days([50, 52]), false)).toMatchObject({
      baseline: 50,
      range: null,
      perWeek: null,
    });
    expect(usualOf(days([50]), false)).toBeNull();
  });
});
