import { describe, expect, it } from "vitest";
import type { MultiSeries } from "../api/types";
import { restingDays, zonesOf } from "./layers";
import { buffersOf, readAnswer } from "./readAnswer";

const frame = {
  metric: "activities_heart_intraday",
  unit: "bpm",
  interval: "raw",
  table: "activities_heart_intraday",
  tz: "UTC",
  start: "2026-01-01T00:00:00Z",
  end: "2026-01-02T00:00:00Z",
  missing: ["nobody"],
  next_cursor: null,
} as const;

const answer: MultiSeries = {
  ...frame,
  missing: ["nobody"],
  series: ["b", "a"].map((user_id) => ({
    user_id,
    count: 2,
    columns: { timestamp: ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"], value: [60, 62] },
  })),
};
const asked = { people: ["a", "nobody", "b"], zone: "UTC", span: { start: 0, end: Date.now() } };

describe("an answer as it came", () => {
  const body = new TextEncoder().encode(JSON.stringify(answer)).buffer as ArrayBuffer;
  const reading = readAnswer(body, asked);

  it("becomes tracks in the order of the people, with their levels", () => {
    expect(reading.tracks.map((track) => track.userId)).toEqual(["a", "b"]);
    expect(reading.points).toBe(4);
    expect(reading.missing).toEqual(["nobody"]);
    expect([...(reading.pyramids[1]?.[0]?.sum ?? [])]).toEqual([60, 62]);
  });

  it("is handed over whole and each part once", () => {
    const buffers = buffersOf(reading);
    expect(new Set(buffers).size).toBe(buffers.length);
    const kept = structuredClone(reading, { transfer: buffers });
    expect([...(kept.tracks[0]?.value ?? [])]).toEqual([60, 62]);
    expect(reading.tracks[0]?.value).toHaveLength(0);
  });
});

const zone = (name: string, min: number | null, max: number | null) => {
  return { name, min, max, minutes: 1, caloriesOut: null };
};

const summaries: MultiSeries = {
  ...frame,
  metric: "activities_heart_summary",
  missing: [],
  series: [
    {
      user_id: "a",
      count: 3,
      columns: {
        date: ["2026-03-28", "2026-03-29", "2026-03-29"],
        resting_heart_rate: [null, 51, 60],
        resting_heart_rate_method: [null, null, "other"],
        heart_rate_zones: [[zone("Fat Burn", 90, 120)], [zone("Peak", 160, null)], []],
        custom_heart_rate_zones: [[], [], []],
      },
    },
  ],
};

describe("daily summaries", () => {
  it("give a resting heart rate from midnight to midnight, once a day", () => {
    expect(restingDays(summaries, () => "Europe/Berlin")).toEqual([
      {
        userId: "a",
        value: 51,
        start: Date.parse("2026-03-28T23:00:00Z"),
        end: Date.parse("2026-03-29T22:00:00Z"),
      },
    ]);
  });

  it("give the latest zones of the first who has any", () => {
    expect(zonesOf(summaries, ["nobody", "a"], null)).toEqual({
      userId: "a",
      zones: [{ name: "Peak", min: 160, max: 220 }],
    });
    expect(zonesOf(summaries, ["b"], null)).toBeNull();
    expect(zonesOf(summaries, ["a"], "zones-age")).toBeNull();
    const [own] = structuredClone(summaries.series);
    if (!own || !("date" in own.columns)) throw new TypeError("no days");
    own.columns.resting_heart_rate_method = ["zones-age", null, null];
    const byAge = { ...summaries, series: [own] };
    expect(zonesOf(byAge, ["a"], "zones-age")?.zones).toEqual([
      { name: "Fat Burn", min: 90, max: 120 },
    ]);
    expect(zonesOf(byAge, ["a"], null)?.zones[0]?.name).toBe("Peak");
    expect(restingDays(answer, () => "UTC")).toEqual([]);
  });
});
