import { describe, expect, it } from "vitest";
import { align, layoutOf, piecesOf, toTable } from "./align";
import type { Track } from "./tracks";

/** Buckets ten wide that start at the given places; a bucket's average is its start. */
function track(userId: string, starts: number[]): Track {
  return {
    userId,
    raw: false,
    x: starts.map((start) => start + 5),
    from: starts,
    to: starts.map((start) => start + 10),
    value: starts,
    low: starts.map((start) => start - 1),
    high: starts.map((start) => start + 1),
    count: starts.map(() => 1),
  };
}

describe("tracks on one axis", () => {
  it("share each instant once, in order", () => {
    const { x, tracks } = align([track("a", [0, 10]), track("b", [10, 20])]);
    expect(x).toEqual([5, 15, 25]);
    expect(tracks[0]?.value).toEqual([0, 10, undefined]);
    expect(tracks[1]?.value).toEqual([undefined, 10, 20]);
  });

  it("break with a null where a bucket is missing, in the band too", () => {
    const { x, tracks } = align([track("a", [0, 20])]);
    expect(x).toEqual([5, 15, 25]);
    expect(tracks[0]?.value).toEqual([0, null, 20]);
    expect(tracks[0]?.low).toEqual([-1, null, 19]);
    expect(tracks[0]?.high).toEqual([1, null, 21]);
  });

  it("break over the whole gap, at the others' instants as well", () => {
    const { x, tracks } = align([track("a", [0, 40]), track("b", [0, 10, 20, 30, 40])]);
    const gap = tracks[0]?.value.filter((_, i) => (x[i] ?? 0) > 5 && (x[i] ?? 0) < 45);
    expect(gap?.length).toBeGreaterThanOrEqual(3);
    expect(gap?.every((cell) => cell === null)).toBe(true);
  });

  it("are not broken by the others' instants and gaps", () => {
    const { tracks } = align([track("a", [0, 10]), track("b", [3, 43])]);
    const between = tracks[0]?.value.slice(1, 2);
    expect(between).toEqual([undefined]);
    expect(tracks[0]?.value.includes(null)).toBe(false);
  });

  it("name the points that no line reaches", () => {
    const { x, tracks } = align([track("a", [0, 20, 30, 50])]);
    expect(tracks[0]?.alone.map((i) => x[i])).toEqual([5, 55]);
    expect(align([track("a", [0])]).tracks[0]?.alone).toEqual([0]);
    expect(align([track("a", [])])).toEqual({
      x: [],
      tracks: [{ userId: "a", value: [], low: [], high: [], alone: [] }],
    });
  });
});

it("a line's pieces end at nulls and pass over others' instants", () => {
  const cells = [undefined, 60, undefined, 61, null, null, 62, undefined];
  expect(piecesOf([0, 1, 2, 3, 4, 5, 6, 7], cells)).toEqual([
    [1, 3],
    [6, 6],
  ]);
  expect(piecesOf([], [])).toEqual([]);
});

describe("the table for the chart", () => {
  it("puts every band before every line, as the layout says", () => {
    const aligned = align([track("a", [0]), track("b", [0])]);
    const table = toTable(aligned, true);
    expect(table).toHaveLength(7);
    const layout = layoutOf(1, 2, true);
    expect(layout).toEqual({ high: 3, low: 4, value: 6 });
    expect(table[layout.value]).toBe(aligned.tracks[1]?.value);
    expect(table[layout.high]).toBe(aligned.tracks[1]?.high);
    expect(table[layout.low]).toBe(aligned.tracks[1]?.low);
  });

  it("has lines only for raw readings", () => {
    const aligned = align([track("a", [0]), track("b", [0])]);
    expect(toTable(aligned, false)).toHaveLength(3);
    expect(layoutOf(1, 2, false).value).toBe(2);
  });
});
