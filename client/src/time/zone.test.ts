import { describe, expect, it } from "vitest";
import { addCivil, fromWall, isZone, nextMidnight, offsetLabel, toWall } from "./zone";

const at = (text: string) => Date.parse(text);
const HOUR = 3_600_000;

describe("zones", () => {
  it("turns instants into wall clocks and back", () => {
    const instant = at("2026-07-01T10:20:30Z");
    expect(toWall(instant, "Europe/Berlin")).toBe("2026-07-01T12:20:30");
    expect(toWall(instant, "Asia/Kathmandu")).toBe("2026-07-01T16:05:30");
    for (const zone of ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "UTC"]) {
      expect(fromWall(toWall(instant, zone), zone)).toBe(instant);
    }
  });

  it("reads dates, minutes and seconds, and nothing else", () => {
    expect(fromWall("2026-01-02", "UTC")).toBe(at("2026-01-02T00:00:00Z"));
    expect(fromWall("2026-01-02T03:04", "UTC")).toBe(at("2026-01-02T03:04:00Z"));
    expect(fromWall("2026-13-02T03:04", "UTC")).toBeNull();
    expect(fromWall("", "UTC")).toBeNull();
    expect(fromWall("yesterday", "UTC")).toBeNull();
  });

  it("takes the first of two equal wall clocks and steps over a missing one", () => {
    expect(fromWall("2026-10-25T02:30", "Europe/Berlin")).toBe(at("2026-10-25T00:30:00Z"));
    expect(fromWall("2026-03-29T02:30", "Europe/Berlin")).toBe(at("2026-03-29T01:30:00Z"));
  });

  it("finds the end of civil days of 23, 24 and 25 hours", () => {
    const length = (day: string) => {
      const start = fromWall(day, "Europe/Berlin") ?? 0;
      return (nextMidnight(start, "Europe/Berlin") - start) / HOUR;
    };
    expect(length("2026-03-29")).toBe(23);
    expect(length("2026-06-01")).toBe(24);
    expect(length("2026-10-25")).toBe(25);
  });

  it("keeps the wall clock when it counts days and years", () => {
    const autumn = at("2026-10-26T09:00:00Z"); // 10:00 in Berlin, after the change
    expect(addCivil(autumn, "Europe/Berlin", { days: -7 })).toBe(at("2026-10-19T08:00:00Z"));
    const leap = at("2024-02-29T12:00:00Z");
    expect(addCivil(leap, "UTC", { years: -1 })).toBe(at("2023-02-28T12:00:00Z"));
  });

  it("names offsets and refuses unknown zones", () => {
    expect(offsetLabel(at("2026-07-01T00:00:00Z"), "Europe/Berlin")).toBe("UTC+2");
    expect(offsetLabel(at("2026-01-01T00:00:00Z"), "America/St_Johns")).toBe("UTC\u22123:30");
    expect(offsetLabel(0, "UTC")).toBe("UTC");
    expect(isZone("Europe/Berlin")).toBe(true);
    expect(isZone("Mars/Base")).toBe(false);
  });
});
