import { expect, it } from "vitest";
import { rowsOf } from "./rows";
import type { Track } from "./tracks";

function track(userId: string, starts: number[]): Track {
  const numbers = (by: number) => Float64Array.from(starts, (start) => start + by);
  return {
    userId,
    raw: false,
    bridgeMs: 0,
    x: numbers(5),
    from: numbers(0),
    to: numbers(10),
    value: numbers(60),
    low: numbers(50),
    high: numbers(70),
    count: numbers(1),
  };
}

const both = [track("a", [0, 10, 30]), track("b", [10, 20])];

it("a row for each stretch that anybody has a point for, in order", () => {
  const { rows, more } = rowsOf(both, { start: 0, end: 100 }, 10);
  expect(more).toBe(false);
  expect(rows.map(({ from, to }) => [from, to])).toEqual([
    [0, 10],
    [10, 20],
    [20, 30],
    [30, 40],
  ]);
  expect(rows.map((row) => row.points.map((point) => point?.value ?? null))).toEqual([
    [60, null],
    [70, 70],
    [null, 80],
    [90, null],
  ]);
});

it("only what is in view, and no more rows than wanted", () => {
  expect(rowsOf(both, { start: 12, end: 30 }, 10).rows.map((row) => row.from)).toEqual([10, 20]);
  const cut = rowsOf(both, { start: 0, end: 100 }, 2);
  expect(cut.more).toBe(true);
  expect(cut.rows).toHaveLength(2);
  expect(rowsOf([], { start: 0, end: 1 }, 5)).toEqual({ rows: [], more: false });
});
