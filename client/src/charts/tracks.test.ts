import { describe, expect, it } from "vitest";
import type { UserSeries } from "../api/types";
import { SILENCE_MS } from "./buckets";
import { buildPyramid, piecesOf, summarise } from "./pyramid";
import { gapAfter, pointAt, toTrack } from "./tracks";

const at = (text: string) => Date.parse(text);
const EVER = { start: 0, end: at("2100-01-01T00:00:00Z") };

function buckets(userId: string, rows: [string, number, number, number, number][]): UserSeries {
  return {
    user_id: userId,
    count: rows.length,
    columns: {
      timestamp: rows.map((row) => row[0]),
      avg: rows.map((row) => row[1]),
      min: rows.map((row) => row[2]),
      max: rows.map((row) => row[3]),
      count: rows.map((row) => row[4]),
      minutes: rows.map(() => 1),
    },
  };
}

function raw(userId: string, rows: [string, number][]): UserSeries {
  const columns = { timestamp: rows.map((row) => row[0]), value: rows.map((row) => row[1]) };
  return { user_id: userId, count: rows.length, columns };
}

const HOURS = buckets("alice", [
  ["2026-01-01T00:00:00Z", 60, 50, 70, 10],
  ["2026-01-01T01:00:00Z", 80, 70, 120, 30],
  ["2026-01-01T03:00:00Z", 70, 65, 75, 20],
]);

describe("buckets", () => {
  const track = toTrack(HOURS, "1h", "UTC", EVER);

  it("are drawn at their middle and keep their edges", () => {
    expect(track.x[0]).toBe(at("2026-01-01T00:30:00Z"));
    expect(track.to[0]).toBe(at("2026-01-01T01:00:00Z"));
    expect(track.raw).toBe(false);
  });

  it("at both ends are drawn at the middle of what was asked for of them, and found all over", () => {
    const asked = { start: at("2026-01-01T00:40:00Z"), end: at("2026-01-01T03:10:00Z") };
    const { x, from, ...rest } = toTrack(HOURS, "1h", "UTC", asked);
    expect(x[0]).toBe(at("2026-01-01T00:50:00Z"));
    expect(x[2]).toBe(at("2026-01-01T03:05:00Z"));
    expect(from[0]).toBe(at("2026-01-01T00:00:00Z"));
    expect(pointAt({ x, from, ...rest }, at("2026-01-01T01:02:00Z"))).toBe(1);
  });

  it("break where the next one is missing", () => {
    expect([0, 1, 2].map((i) => gapAfter(track, i))).toEqual([false, true, false]);
  });

  it("of a second are joined like readings: of a device that reports each ten most are empty", () => {
    const seconds = buckets("alice", [
      ["2026-01-01T00:00:00Z", 60, 60, 60, 1],
      ["2026-01-01T00:00:10Z", 61, 61, 61, 1],
      ["2026-01-01T00:02:00Z", 62, 62, 62, 1],
    ]);
    const joined = toTrack(seconds, "1s", "UTC", EVER);
    expect([0, 1].map((i) => gapAfter(joined, i))).toEqual([false, true]);
  });

  it("of values that come every five minutes are joined, and break where three in a row are missing", () => {
    const start = at("2026-01-01T00:00:00Z");
    const minutes = [0, 5, 10, 16, 20, 30, 45, 61, 65, 70, 75, 80];
    const timestamp = minutes.map((minute) => new Date(start + minute * 60_000).toISOString());
    const rows = timestamp.map((text): [string, number, number, number, number] => {
      return [text, 40, 40, 40, 1];
    });
    const sparse = toTrack(buckets("alice", rows), "1m", "UTC", EVER);
    const asRead = toTrack(
      raw(
        "alice",
        rows.map(([text, value]) => [text, value]),
      ),
      "raw",
      "UTC",
      EVER,
    );
    for (const track of [sparse, asRead]) {
      const broken = minutes.filter((_, i) => gapAfter(track, i));
      expect(broken).toEqual([45]);
    }
    // The point that is nearest speaks of an instant that the line goes over.
    expect(pointAt(sparse, start + 37 * 60_000)).toBe(5);
    expect(pointAt(sparse, start + 53 * 60_000 + 10_000)).toBeNull();
  });

  it("without a cadence are joined to nothing", () => {
    const start = at("2026-01-01T00:00:00Z");
    const track = (minutes: readonly number[]) => {
      const rows = minutes.map((minute): [string, number, number, number, number] => {
        return [new Date(start + minute * 60_000).toISOString(), 60, 60, 60, 1];
      });
      return toTrack(buckets("alice", rows), "1m", "UTC", EVER);
    };
    const irregular = track([0, 3, 50, 52, 400, 430, 431, 900, 2000]);
    expect(irregular.bridgeMs).toBe(0);
    // Readings all along with an hour's pause are no more joined than before.
    expect(track([0, 1, 2, 3, 4, 64, 65, 66]).bridgeMs).toBe(0);
    expect(track([0, 60, 120]).bridgeMs).toBe(0);
  });

  it("make pieces of a line, as far as they lie in a span", () => {
    const half = 30 * 60_000;
    const [one, two, four] = [0, 1, 3].map((hour) => at(`2026-01-01T0${hour}:00:00Z`) + half);
    expect(piecesOf(buildPyramid(track), EVER)).toEqual([
      [one, two],
      [four, four],
    ]);
    expect(piecesOf(buildPyramid(track), { start: (one ?? 0) + 1, end: four ?? 0 })).toEqual([
      [two, two],
    ]);
  });

  it("of a day are civil days of the zone, so that a change of time is no gap", () => {
    const days = buckets("alice", [
      ["2026-10-23T22:00:00Z", 60, 50, 70, 1],
      ["2026-10-24T22:00:00Z", 60, 50, 70, 1],
      ["2026-10-25T23:00:00Z", 60, 50, 70, 1],
      ["2026-10-27T23:00:00Z", 60, 50, 70, 1],
    ]);
    const berlin = toTrack(days, "1d", "Europe/Berlin", EVER);
    expect([0, 1, 2].map((i) => gapAfter(berlin, i))).toEqual([false, false, true]);
  });

  it("are found by any instant within them and by none outside", () => {
    expect(pointAt(track, at("2026-01-01T01:00:00Z"))).toBe(1);
    expect(pointAt(track, at("2026-01-01T01:00:01Z"))).toBe(1);
    expect(pointAt(track, at("2026-01-01T03:59:59Z"))).toBe(2);
    expect(pointAt(track, at("2026-01-01T02:30:00Z"))).toBeNull();
    expect(pointAt(track, at("2025-12-31T23:00:00Z"))).toBeNull();
  });

  it("are summed up by their readings, not by the number of buckets", () => {
    const all = summarise(
      buildPyramid(track),
      at("2026-01-01T00:00:00Z"),
      at("2026-01-02T00:00:00Z"),
    );
    expect(all).toEqual({ average: (600 + 2400 + 1400) / 60, low: 50, high: 120 });
    expect(summarise(buildPyramid(track), 0, 1)).toBeNull();
  });
});

describe("raw readings", () => {
  const track = toTrack(
    raw("bob", [
      ["2026-01-01T00:00:00.25Z", 60],
      ["2026-01-01T00:01:00.25Z", 62],
      ["2026-01-01T00:02:01Z", 64],
    ]),
    "raw",
    "UTC",
    EVER,
  );

  it("are drawn at their instant", () => {
    expect(track.raw).toBe(true);
    expect(track.x[0]).toBe(at("2026-01-01T00:00:00.25Z"));
    expect(track.low).toEqual(track.value);
  });

  it("break after more than the stated silence", () => {
    expect((track.x[1] ?? 0) - (track.x[0] ?? 0)).toBe(SILENCE_MS);
    expect([0, 1, 2].map((i) => gapAfter(track, i))).toEqual([false, true, false]);
  });

  it("are found from near by", () => {
    expect(pointAt(track, at("2026-01-01T00:00:20Z"))).toBe(0);
    expect(pointAt(track, at("2026-01-01T00:05:00Z"))).toBeNull();
  });
});

it("an empty series is an empty track", () => {
  const track = toTrack(
    { user_id: "nobody", count: 0, columns: { timestamp: [] } },
    "1m",
    "UTC",
    EVER,
  );
  expect(track.x).toHaveLength(0);
  expect(piecesOf(buildPyramid(track), EVER)).toEqual([]);
  expect(pointAt(track, 0)).toBeNull();
  expect(summarise(buildPyramid(track), 0, 1)).toBeNull();
});
