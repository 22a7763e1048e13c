import { describe, expect, it } from "vitest";
import { lastDates, restDays, restingSeries, variabilityDays } from "./rest";

const resting = {
  date: ["2026-03-28", "2026-03-29", "2026-03-30"],
  resting_heart_rate: [52.5, null, null],
  method: ["lowest-30-minutes", null, null],
  timestamp: ["2026-03-28T02:10:00Z", null, null],
  covered_minutes: [1440, 0, 120],
  stated: [
    [
      { resting_heart_rate: 57, method: "fitbit" },
      { resting_heart_rate: 61, method: null },
    ],
    [{ resting_heart_rate: 58, method: "fitbit" }],
    [],
  ],
};
const nights = {
  date: ["2026-03-28", "2026-03-31"],
  timestamp: ["2026-03-27T21:00:00Z", "2026-03-30T20:00:00Z"],
  rmssd: [41.2, null],
  sdnn: [70.5, null],
  beats: [28_000, 12],
  left_out: [210, 0],
  method: ["task-force-1996", "task-force-1996"],
};

describe("days of rest", () => {
  it("come once each, the latest first, without those that say nothing", () => {
    const days = restDays(resting, nights, "Europe/Berlin");
    const nothing = { own: null, rmssd: null, sdnn: null };
    expect(days).toEqual([
      {
        ...nothing,
        date: "2026-03-29",
        start: Date.parse("2026-03-28T23:00:00Z"),
        stated: [{ value: 58, method: "fitbit" }],
      },
      {
        date: "2026-03-28",
        start: Date.parse("2026-03-27T23:00:00Z"),
        own: 52.5,
        stated: [
          { value: 57, method: "fitbit" },
          { value: 61, method: null },
        ],
        rmssd: 41.2,
        sdnn: 70.5,
      },
    ]);
  });

  it("give one series of a method, our own before those of sources", () => {
    const days = restDays(resting, nights, "Europe/Berlin");
    expect(restingSeries(days, "ours")).toEqual({
      method: "ours",
      days: [{ at: Date.parse("2026-03-27T23:00:00Z"), value: 52.5 }],
    });
    const stated = restingSeries(
      days.map((day) => ({ ...day, own: null })),
      "ours",
    );
    expect([stated?.method, stated?.days.map(({ value }) => value)]).toEqual(["fitbit", [57, 58]]);
    expect(variabilityDays(days).map(({ value }) => value)).toEqual([41.2]);
    expect(restingSeries([], "ours")).toBeNull();
  });

  it("may know nights alone, or nothing", () => {
    expect(restDays(null, nights, "UTC").map((day) => [day.date, day.rmssd])).toEqual([
      ["2026-03-28", 41.2],
    ]);
    expect(restDays(null, null, "UTC")).toEqual([]);
  });

  it("are the last ones of a span, in the zone", () => {
    const span = {
      start: Date.parse("2026-01-01T00:00:00Z"),
      end: Date.parse("2026-03-29T22:00:00Z"),
    };
    expect(lastDates(span, "Europe/Berlin", 31)).toEqual({
      first: "2026-02-27",
      last: "2026-03-29",
    });
    expect(lastDates(span, "America/Los_Angeles", 31).last).toBe("2026-03-29");
    expect(lastDates({ start: span.end - 1, end: span.end }, "UTC", 31)).toEqual({
      first: "2026-02-27",
      last: "2026-03-29",
    });
    expect(lastDates({ start: 0, end: 1 }, "America/Los_Angeles", 31).first).toBe("1970-01-01");
  });
});
