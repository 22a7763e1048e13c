import { describe, expect, it } from "vitest";
import { tickLabels } from "./labels";
import { digitsOf, heightRange, scaledRange, scaledTicks, timeTicks, valueTicks } from "./ticks";

const at = (text: string) => Date.parse(text);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BERLIN = "Europe/Berlin";

/** What the axis says, without the second line. */
function texts(start: string, end: string, least: number, zone: string): string[] {
  const ticks = timeTicks({ start: at(start), end: at(end) }, zone, least);
  return tickLabels(ticks.at, ticks.step, zone, "en-GB").map((text) => text.split("\n")[0] ?? "");
}

describe("marks of time", () => {
  it("stand on the zone's round hours", () => {
    const hours = texts("2026-11-21T00:10:00Z", "2026-11-21T12:00:00Z", 2 * HOUR, BERLIN);
    expect(hours).toEqual(["02:00", "04:00", "06:00", "08:00", "10:00", "12:00"]);
    const kolkata = timeTicks({ start: 0, end: 6 * HOUR }, "Asia/Kolkata", 3 * HOUR);
    expect(kolkata.at.map((tick) => tick % HOUR)).toEqual([HOUR / 2, HOUR / 2]);
  });

  it("skip the hour that the clock skips", () => {
    const night = ["2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z"] as const;
    expect(texts(...night, HOUR, BERLIN)).toEqual(["00:00", "01:00", "03:00", "04:00", "05:00"]);
    expect(texts(...night, 2 * HOUR, BERLIN)).toEqual(["00:00", "03:00", "04:00"]);
  });

  it("mark the repeated hour twice and say which is which", () => {
    const span = { start: at("2026-10-24T23:00:00Z"), end: at("2026-10-25T03:00:00Z") };
    const ticks = timeTicks(span, BERLIN, HOUR);
    expect(tickLabels(ticks.at, ticks.step, BERLIN, "en-GB")).toEqual([
      "01:00\n25 Oct 2026",
      "02:00",
      "02:00\nUTC+1",
      "03:00",
      "04:00",
    ]);
  });

  it("stand on midnights, days of 23 and 25 hours included", () => {
    for (const [from, hours] of [
      ["2026-03-27T23:00:00Z", [24, 23, 24]],
      ["2026-10-23T22:00:00Z", [24, 25, 24]],
    ] as const) {
      const ticks = timeTicks({ start: at(from), end: at(from) + 3 * DAY + HOUR }, BERLIN, DAY);
      const lengths = ticks.at.slice(1).map((tick, i) => (tick - (ticks.at[i] ?? 0)) / HOUR);
      expect(lengths).toEqual(hours.slice(0, lengths.length));
      expect(lengths.length).toBeGreaterThanOrEqual(2);
    }
  });

  it("begin weeks on Mondays, and stand on the first of months and years", () => {
    const weeks = timeTicks(
      { start: at("2026-11-01T00:00:00Z"), end: at("2026-12-01T00:00:00Z") },
      "UTC",
      5 * DAY,
    );
    expect(weeks.at.map((tick) => new Date(tick).getUTCDay())).toEqual([1, 1, 1, 1, 1]);
    const ten = ["2016-06-01T00:00:00Z", "2026-06-01T00:00:00Z"] as const;
    expect(texts(...ten, 700 * DAY, BERLIN)).toEqual(["2018", "2020", "2022", "2024", "2026"]);
    const months = texts("2026-01-15T00:00:00Z", "2026-12-15T00:00:00Z", 80 * DAY, BERLIN);
    expect(months).toEqual(["Apr", "Jul", "Oct"]);
  });

  it("are as far apart as wanted, from seconds to decades, in odd zones too", () => {
    for (const zone of [
      "UTC",
      BERLIN,
      "Australia/Lord_Howe",
      "Asia/Kathmandu",
      "America/St_Johns",
    ]) {
      for (let length = 10_000; length < 20 * 365 * DAY; length *= 3.3) {
        const span = {
          start: at("2026-03-29T00:30:00Z") - length / 2,
          end: at("2026-03-29T00:30:00Z") + length / 2,
        };
        const ticks = timeTicks(span, zone, length / 12);
        expect(ticks.at.length).toBeLessThanOrEqual(14);
        expect(ticks.at.every((tick, i) => i === 0 || tick > (ticks.at[i - 1] ?? 0))).toBe(true);
        expect(ticks.at.every((tick) => tick >= span.start && tick <= span.end)).toBe(true);
      }
    }
  });
});

describe("marks of beats", () => {
  it("are round and not too many", () => {
    expect(valueTicks(40, 120, 5)).toEqual([40, 60, 80, 100, 120]);
    expect(valueTicks(41, 58, 9)).toEqual([42, 44, 46, 48, 50, 52, 54, 56, 58]);
  });

  it("lie in a range with room, that never makes noise look like news", () => {
    expect(heightRange([60, 61])).toEqual([40, 80]);
    expect(heightRange([48, 163])).toEqual([40, 170]);
    expect(heightRange([3, 30])).toEqual([0, 40]);
    expect(heightRange(null)).toEqual([40, 120]);
  });
});

describe("the axis of another metric", () => {
  const percent = { min: 50, max: 100 };

  it("has room on round numbers and never shows what cannot be", () => {
    expect(scaledRange([96, 97], percent)).toEqual([94, 99]);
    expect(scaledRange([88, 99.6], percent)).toEqual([85, 100]);
    expect(scaledRange([36.4, 36.9], { min: 30, max: 45 })).toEqual([35.5, 37.5]);
    expect(scaledRange([-0.3, 0.4], { min: -10, max: 10 })).toEqual([-1, 1.5]);
    expect(scaledRange(null, percent)).toEqual([50, 100]);
  });

  it("has values with as many decimals as mean something", () => {
    const ranges = {
      temperature: [20, 45],
      deviation: [-10, 10],
      spo2: [50, 100],
      rmssd: [1, 300],
    };
    const digits = Object.values(ranges).map(([min = 0, max = 0]) => digitsOf({ min, max }));
    expect(digits).toEqual([2, 2, 1, 1]);
    expect([digitsOf({ min: 250, max: 2500 }), digitsOf(null)]).toEqual([0, 0]);
  });

  it("shows what was accepted under other bounds", () => {
    expect(scaledRange([47, 60], percent)[0]).toBe(47);
  });

  it("is marked on round numbers, also of tenths", () => {
    expect(scaledTicks(94, 99, 5)).toEqual([94, 95, 96, 97, 98, 99]);
    expect(scaledTicks(36, 37.2, 6)).toEqual([36, 36.2, 36.4, 36.6, 36.8, 37, 37.2]);
    expect(scaledTicks(-1, 1.5, 5)).toEqual([-1, -0.5, 0, 0.5, 1, 1.5]);
  });
});
