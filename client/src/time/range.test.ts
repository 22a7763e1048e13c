import { describe, expect, it } from "vitest";
import {
  defaultRange,
  extentOf,
  isLive,
  lastWeekOf,
  MIN_SPAN_MS,
  overlapOf,
  overlaps,
  PRESETS,
  resolveRange,
  wholeSeconds,
} from "./range";

const at = (text: string) => Date.parse(text);
const NOW = at("2026-11-21T12:00:00Z");
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const preset = (id: (typeof PRESETS)[number]["id"]) => ({ kind: "preset", preset: id }) as const;

describe("presets", () => {
  it("count hours on the clock, also over a change of time", () => {
    const now = at("2026-10-25T12:00:00Z");
    const day = resolveRange(preset("24h"), now, null, "Europe/Berlin");
    expect(day).toEqual({ start: now - DAY, end: now });
  });

  it("count days on the reader's calendar", () => {
    const now = at("2026-10-26T12:00:00Z");
    const week = resolveRange(preset("7d"), now, null, "Europe/Berlin");
    expect(week.end - week.start).toBe(7 * DAY + HOUR);
    expect(resolveRange(preset("7d"), now, null, "UTC").start).toBe(now - 7 * DAY);
    const year = resolveRange(preset("1y"), now, null, "Europe/Berlin");
    expect(year.start).toBe(at("2025-10-26T12:00:00Z"));
  });

  it("end on a whole second that includes the present", () => {
    expect(resolveRange(preset("1h"), NOW + 1, null, "UTC").end).toBe(NOW + 1000);
  });

  it("take all from what is known of the people", () => {
    const extent = extentOf([
      { first_reading: "2020-05-01T00:00:00.5Z", last_reading: "2021-01-01T00:00:00Z" },
      { first_reading: "2019-01-01T00:00:00Z", last_reading: "2020-06-01T00:00:00Z" },
      { first_reading: null, last_reading: null },
    ]);
    expect(extent).toEqual({
      start: at("2019-01-01T00:00:00Z"),
      end: at("2021-01-01T00:00:01Z"),
    });
    expect(resolveRange(preset("all"), NOW, extent, "UTC")).toEqual(extent);
    expect(resolveRange(preset("all"), NOW, null, "UTC").start).toBe(at("2016-11-21T12:00:00Z"));
    expect(extentOf([])).toBeNull();
  });

  it("are live unless they hang on the data", () => {
    expect(PRESETS.filter((one) => isLive(preset(one.id))).map((one) => one.id)).toEqual([
      "1h",
      "24h",
      "7d",
      "30d",
      "1y",
    ]);
    expect(isLive({ kind: "span", span: { start: 0, end: 1 } })).toBe(false);
  });

  it("open with the last day, or with everything when that is long past", () => {
    expect(defaultRange({ start: 0, end: NOW - HOUR }, NOW)).toEqual(preset("24h"));
    expect(defaultRange({ start: 0, end: NOW - 2 * DAY }, NOW)).toEqual(preset("all"));
    expect(defaultRange(null, NOW)).toEqual(preset("24h"));
  });
});

it("the last week is where somebody has readings, over days of the calendar", () => {
  const present = { start: NOW - 7 * DAY, end: NOW };
  expect(lastWeekOf(null, NOW, "UTC")).toEqual(present);
  expect(lastWeekOf({ start: 0, end: NOW - DAY }, NOW, "UTC")).toEqual(present);
  const last = at("2026-03-30T10:00:00Z");
  expect(lastWeekOf({ start: 0, end: last }, NOW, "Europe/Berlin")).toEqual({
    start: at("2026-03-23T11:00:00Z"),
    end: last,
  });
});

describe("selections", () => {
  it("are widened to whole seconds, whichever way they were drawn", () => {
    expect(wholeSeconds(20_400, 50_100)).toEqual({ start: 20_000, end: 51_000 });
    expect(wholeSeconds(50_100, 20_400)).toEqual({ start: 20_000, end: 51_000 });
  });

  it("never get narrower than the narrowest view", () => {
    expect(wholeSeconds(NOW, NOW + 100)).toEqual({ start: NOW - 5000, end: NOW + 5000 });
    expect(wholeSeconds(0, 1)).toEqual({ start: 0, end: MIN_SPAN_MS });
  });
});

describe("the picture while an answer is awaited", () => {
  const former = { start: 100, end: 200 };

  it("follows at once where it has something to show", () => {
    expect(overlaps({ start: 150, end: 160 }, former)).toBe(true);
    expect(overlaps({ start: 0, end: 900 }, former)).toBe(true);
    expect(overlaps({ start: 200, end: 300 }, former)).toBe(false);
  });

  it("speaks only of the part that was answered", () => {
    expect(overlapOf({ start: 0, end: 150 }, former)).toEqual({ start: 100, end: 150 });
    expect(overlapOf({ start: 0, end: 50 }, former)).toEqual({ start: 0, end: 50 });
    expect(overlapOf({ start: 0, end: 50 }, null)).toEqual({ start: 0, end: 50 });
  });
});
