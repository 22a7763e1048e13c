import { describe, expect, it } from "vitest";
import { lastNight, nightsIn, unitAt, unitOf } from "./civil";

const at = (text: string) => Date.parse(text);
const HOUR = 3_600_000;
const BERLIN = "Europe/Berlin";
const texts = ({ start, end }: { start: number; end: number }) =>
  [start, end].map((one) => new Date(one).toISOString().slice(0, 16));

describe("units of the calendar", () => {
  it("are as long as their days, of 23 and 25 hours too", () => {
    const spring = unitAt(at("2026-03-29T12:00:00Z"), "day", BERLIN);
    const autumn = unitAt(at("2026-10-25T12:00:00Z"), "day", BERLIN);
    expect((spring.end - spring.start) / HOUR).toBe(23);
    expect((autumn.end - autumn.start) / HOUR).toBe(25);
    expect(texts(unitAt(spring.start, "day", BERLIN, -1))).toEqual([
      "2026-03-27T23:00",
      "2026-03-28T23:00",
    ]);
    expect(unitAt(spring.start, "day", BERLIN, 1).start).toBe(spring.end);
  });

  it("begin on Mondays, on the first, and in January", () => {
    const instant = at("2026-03-29T12:00:00Z");
    expect(texts(unitAt(instant, "week", "UTC"))).toEqual(["2026-03-23T00:00", "2026-03-30T00:00"]);
    expect(texts(unitAt(instant, "month", "UTC", -2))).toEqual([
      "2026-01-01T00:00",
      "2026-02-01T00:00",
    ]);
    expect(texts(unitAt(instant, "month", "UTC", 10))[0]).toBe("2027-01-01T00:00");
    expect(texts(unitAt(instant, "year", "UTC", 1))).toEqual([
      "2027-01-01T00:00",
      "2028-01-01T00:00",
    ]);
  });

  it("are found again in their own zone alone", () => {
    for (const unit of ["day", "week", "month", "year"] as const) {
      const span = unitAt(at("2026-10-25T12:00:00Z"), unit, BERLIN);
      expect(unitOf(span, BERLIN)).toBe(unit);
      expect(unitOf(span, "America/Chicago")).toBeNull();
    }
  });
});

it("nights are from ten to seven by the clock", () => {
  expect(texts(lastNight(at("2026-03-29T12:00:00Z"), BERLIN))).toEqual([
    "2026-03-28T21:00",
    "2026-03-29T05:00",
  ]);
  const day = { start: at("2026-11-21T00:00:00Z"), end: at("2026-11-22T00:00:00Z") };
  expect(nightsIn(day, "UTC").map(texts)).toEqual([
    ["2026-11-20T22:00", "2026-11-21T07:00"],
    ["2026-11-21T22:00", "2026-11-22T07:00"],
  ]);
  expect(nightsIn({ start: day.start + 8 * HOUR, end: day.start + 9 * HOUR }, "UTC")).toEqual([]);
});
