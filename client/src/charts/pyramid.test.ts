import { describe, expect, it } from "vitest";
import { decimate, extremes } from "./decimate";
import { buildPyramid, type Level, piecesOf, summarise } from "./pyramid";
import type { Track } from "./tracks";

/** Raw readings at the given seconds. */
function raw(seconds: number[], value: (second: number) => number): Track {
  const x = Float64Array.from(seconds, (second) => second * 1000);
  const values = Float64Array.from(seconds, value);
  const count = new Float64Array(seconds.length).fill(1);
  const at = { x, from: x, to: x };
  return {
    userId: "a",
    raw: true,
    bridgeMs: 60_000,
    ...at,
    value: values,
    low: values,
    high: values,
    count,
  };
}

const DAY_S = 86_400;
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
/** A wave with a single beat far above it, where it would be lost by taking every so manieth point. */
const SPIKE_S = 40_001;
const wave = (second: number) =>
  second === SPIKE_S ? 190 : Math.round(70 + 20 * Math.sin(second / 500));
const day = raw(range(0, DAY_S), wave);
const holed = raw([...range(0, 30_000), ...range(33_600, DAY_S)], wave);

const total = (numbers: Float64Array) => numbers.reduce((sum, one) => sum + one, 0);
const highest = (level: Level) => level.high.reduce((a, b) => Math.max(a, b));
const breaks = (level: Level) => level.broken.reduce((sum, one) => sum + one, 0);

describe("the levels of a track", () => {
  it.each([day, holed])("have its readings, its extremes and its breaks", (track) => {
    const levels = buildPyramid(track);
    expect(levels.length).toBeGreaterThan(3);
    expect(levels.at(-1)?.first.length).toBeLessThan(600);
    for (const level of levels) {
      expect(total(level.count)).toBe(track.x.length);
      expect(total(level.sum)).toBe(total(track.value));
      expect(highest(level)).toBe(190);
      expect(breaks(level)).toBe(track === holed ? 1 : 0);
    }
  });

  it("have no block that reaches over a gap", () => {
    for (const level of buildPyramid(holed)) {
      const over = level.first.findIndex((first, i) => {
        return first < 30_000_000 && (level.last[i] ?? 0) >= 33_600_000;
      });
      expect(over).toBe(-1);
    }
  });

  it("end where every point stands alone", () => {
    const lonely = raw(
      range(0, 2000).map((i) => i * 100),
      () => 60,
    );
    expect(buildPyramid(lonely)).toHaveLength(1);
  });

  it("of nothing are nothing", () => {
    const [only, ...more] = buildPyramid(raw([], () => 0));
    expect(only?.first).toHaveLength(0);
    expect(more).toEqual([]);
  });
});

describe("a stretch of a long track", () => {
  const pyramid = buildPyramid(holed);
  const seconds = [...range(0, 30_000), ...range(33_600, DAY_S)];
  it.each([
    [0, DAY_S],
    [1, 2],
    [17, 29_999],
    [29_998, 33_602],
    [30_000, 33_600],
    [39_999.5, 40_001.5],
    [12_345, 70_003],
    [-5, 100],
    [86_399, 90_000],
    [90_000, 90_001],
  ])("from second %d to %d is summed up, and has the pieces, as its readings say", (from, to) => {
    const values = seconds.filter((second) => second >= from && second < to).map(wave);
    const sum = values.reduce((a, b) => a + b, 0);
    const plain = {
      average: sum / values.length,
      low: Math.min(...values),
      high: Math.max(...values),
    };
    const found = summarise(pyramid, from * 1000, to * 1000);
    expect(found).toEqual(values.length > 0 ? plain : null);
    const parts = [
      [0, 29_999],
      [33_600, DAY_S - 1],
    ].map(([first = 0, last = 0]) => [
      Math.max(Math.ceil(from), first),
      Math.min(Math.ceil(to) - 1, last),
    ]);
    const pieces = parts.filter(([first = 0, last = 0]) => first <= last);
    const span = { start: from * 1000, end: to * 1000 };
    expect(piecesOf(pyramid, span)).toEqual(
      pieces.map(([first = 0, last = 0]) => [first * 1000, last * 1000]),
    );
  });
});

describe("a picture of a day of readings each second", () => {
  const pyramid = buildPyramid(day);
  const frame = { start: 0, end: DAY_S * 1000, width: 1000 };
  const columns = decimate(pyramid, frame);

  it("has a column a pixel, rising", () => {
    expect(columns.length).toBeLessThanOrEqual(1001);
    expect(columns.length).toBeGreaterThan(990);
    for (let i = 1; i < columns.length; i += 1) {
      expect(columns.x[i]).toBeGreaterThan(columns.x[i - 1] ?? 0);
    }
  });

  it("loses no extreme and keeps every column's own", () => {
    expect(extremes([columns], 1000)?.[1]).toBe(190);
    const highest = columns.high.indexOf(190);
    expect(Math.abs((columns.x[highest] ?? 0) - SPIKE_S / (DAY_S / 1000))).toBeLessThan(1);
    for (let i = 0; i < columns.length; i += 1) {
      expect(columns.low[i]).toBeLessThanOrEqual(columns.average[i] ?? 0);
      expect(columns.average[i]).toBeLessThanOrEqual(columns.high[i] ?? 0);
    }
  });

  it("keeps its columns while it moves by whole pixels", () => {
    const pixel = frame.end / 1000;
    const moved = decimate(pyramid, { ...frame, start: 100 * pixel, end: 1100 * pixel });
    for (const i of [200, 201, 500, 899]) {
      const same = moved.average.findIndex((_, j) => {
        return Math.abs((moved.x[j] ?? 0) + 100 - (columns.x[i] ?? 0)) < 0.01;
      });
      expect(moved.average[same]).toBe(columns.average[i]);
      expect(moved.high[same]).toBe(columns.high[i]);
    }
  });

  it("breaks once at a gap, and has nothing in it", () => {
    const seen = decimate(buildPyramid(holed), frame);
    expect(seen.broken.reduce((sum, one) => sum + one, 0)).toBe(1);
    const within = seen.x.filter((x) => x > 348 && x < 388);
    expect(within).toHaveLength(0);
  });
});

describe("a picture with room", () => {
  const pyramid = buildPyramid(raw([10, 20, 30, 40, 200], (second) => second));
  const near = decimate(pyramid, { start: 15_000, end: 35_000, width: 200 });

  it("has every point at its own place, and one at each side to lead the line to the edge", () => {
    expect([...near.x.slice(0, near.length)]).toEqual([-50, 50, 150, 250]);
    expect([...near.average.slice(0, near.length)]).toEqual([10, 20, 30, 40]);
  });

  it("counts only what is in view among the extremes", () => {
    expect(extremes([near], 200)).toEqual([20, 30]);
    expect(
      extremes([decimate(pyramid, { start: 50_000, end: 150_000, width: 200 })], 200),
    ).toBeNull();
    expect(extremes([], 200)).toBeNull();
  });

  it("breaks where a silence is too long", () => {
    const all = decimate(pyramid, { start: 0, end: 300_000, width: 300 });
    expect([...all.broken.slice(0, all.length)]).toEqual([0, 0, 0, 1, 0]);
  });

  it("of no length or no width is empty", () => {
    expect(decimate(pyramid, { start: 5, end: 5, width: 100 }).length).toBe(0);
    expect(decimate(pyramid, { start: 0, end: 5, width: 0 }).length).toBe(0);
  });
});
