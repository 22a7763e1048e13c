import { describe, expect, it } from "vitest";
import { ageOn, cohortRow, orderText, parseOrder, sorted } from "./cohortRows";
import { histogramOf } from "./histogram";

const at = (text: string) => Date.parse(text);
const span = { start: at("2026-03-01T00:00:00Z"), end: at("2026-03-11T00:00:00Z") };
const member = (user_id: string, avg: number, minutes = 1440) => {
  return { user_id, avg, minutes, count: minutes, coverage: minutes / 14_400 };
};
const ann = {
  user_id: "ann",
  name: "Ann",
  gender: "female",
  birth_date: "1990-03-02",
  time_zone: null,
  readings: 5,
  first_reading: "2026-03-10T00:00:00Z",
  last_reading: "2026-03-20T00:00:00Z",
} as never;

describe("people of a cohort", () => {
  it("have their age on the first day, and are covered as far as they have data", () => {
    const row = cohortRow(member("ann", 70, 720), ann, span, "UTC");
    expect([row.name, row.age, row.coverage]).toEqual(["Ann", 35, 0.5]);
    expect(cohortRow(member("ben", 70, 7200), undefined, span, "UTC")).toMatchObject({
      name: null,
      age: null,
      coverage: 0.5,
    });
    expect([ageOn("2000-02-29", "2026-02-28"), ageOn("2000-02-29", "2026-03-01")]).toEqual([
      25, 26,
    ]);
  });

  it("stand in any order, the unknown last", () => {
    const rows = ["p2", "p10", "ann"].map((id, i) => {
      return cohortRow(member(id, 60 + i), id === "ann" ? ann : undefined, span, "UTC");
    });
    const ids = (text: string) => sorted(rows, parseOrder(text)).map((row) => row.member.user_id);
    expect(ids("person")).toEqual(["ann", "p2", "p10"]);
    expect(ids("-average")).toEqual(["ann", "p10", "p2"]);
    expect(ids("age")).toEqual(["ann", "p2", "p10"]);
    expect(ids("-age")).toEqual(["ann", "p2", "p10"]);
    expect(orderText(parseOrder("-age"))).toBe("-age");
    expect(orderText(parseOrder("nonsense"))).toBe("-average");
  });
});

it("a histogram has bars of one round width, each edge in the bar above it", () => {
  expect(histogramOf([])).toEqual([]);
  expect(histogramOf([70])).toEqual([{ low: 70, high: 70.1, count: 1 }]);
  const bars = histogramOf([60, 60.9, 61, 99]);
  expect(bars.length).toBe(40);
  expect(bars.slice(0, 2)).toEqual([
    { low: 60, high: 61, count: 2 },
    { low: 61, high: 62, count: 1 },
  ]);
  expect(bars.reduce((sum, { count }) => sum + count, 0)).toBe(4);
});
