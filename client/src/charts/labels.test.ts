import { describe, expect, it } from "vitest";
import { spanLabel, stretchLabel, tickLabels } from "./labels";

const at = (text: string) => Date.parse(text);
const HOUR = 3_600_000;

describe("ticks", () => {
  it("name the day once, and again when it changes in the zone", () => {
    const ticks = [at("2026-11-21T21:00:00Z"), at("2026-11-21T22:00:00Z")];
    ticks.push(at("2026-11-21T23:00:00Z"));
    expect(tickLabels(ticks, HOUR, "Europe/Berlin", "en-GB")).toEqual([
      "22:00\n21 Nov 2026",
      "23:00",
      "00:00\n22 Nov 2026",
    ]);
  });

  it("get shorter as the view gets wider", () => {
    const tick = [at("2026-01-01T00:00:00Z")];
    expect(tickLabels(tick, 1000, "UTC", "en-GB")).toEqual(["00:00:00\n1 Jan 2026"]);
    expect(tickLabels(tick, 24 * HOUR, "UTC", "en-GB")).toEqual(["1 Jan\n2026"]);
    expect(tickLabels(tick, 31 * 24 * HOUR, "UTC", "en-GB")).toEqual(["Jan\n2026"]);
    expect(tickLabels(tick, 366 * 24 * HOUR, "UTC", "en-GB")).toEqual(["2026"]);
  });
});

it("a range says once what its ends have in common", () => {
  const start = at("2026-11-21T15:16:00Z");
  const plain = (end: number) =>
    spanLabel({ start, end }, "Europe/Berlin", "en-GB").replace(/\s*\u2013\s*/, " - ");
  expect(plain(start + HOUR)).toBe("21 Nov 2026, 16:16 - 17:16");
  expect(plain(start + 24 * HOUR)).toBe("21 Nov 2026, 16:16 - 22 Nov 2026, 16:16");
  expect(plain(start + 15_000)).toBe("21 Nov 2026, 16:16:00 - 16:16:15");
});

describe("what a point speaks of", () => {
  const start = at("2026-11-21T13:00:00Z");
  const label = (length: number) =>
    stretchLabel({ start, end: start + length }, "Europe/Berlin", "en-GB");

  it("is a second, a stretch of hours, or a day", () => {
    expect(label(0)).toBe("Sat, 21 Nov 2026, 14:00:00");
    expect(label(HOUR)).toBe("Sat, 21 Nov 2026, 14:00\u201315:00");
    expect(label(23 * HOUR)).toBe("Sat, 21 Nov 2026");
  });

  it("says which of two equal hours it is, and where the clocks were changed within", () => {
    const zoned = (from: string, length: number) =>
      stretchLabel({ start: at(from), end: at(from) + length }, "Europe/Berlin", "en-GB");
    const quarter = HOUR / 4;
    expect(zoned("2026-10-25T00:15:00Z", quarter)).toBe(
      "Sun, 25 Oct 2026, 02:15 UTC+2\u201302:30 UTC+2",
    );
    expect(zoned("2026-10-25T01:15:00Z", 0)).toBe("Sun, 25 Oct 2026, 02:15:00 UTC+1");
    expect(zoned("2026-10-25T00:00:00Z", HOUR)).toBe(
      "Sun, 25 Oct 2026, 02:00 UTC+2\u201302:00 UTC+1",
    );
    expect(zoned("2026-10-25T01:00:00Z", HOUR)).toBe(
      "Sun, 25 Oct 2026, 02:00 UTC+1\u201303:00 UTC+1",
    );
    expect(zoned("2026-10-25T02:00:00Z", HOUR)).toBe("Sun, 25 Oct 2026, 03:00\u201304:00");
    expect(zoned("2026-03-29T00:00:00Z", HOUR)).toBe(
      "Sun, 29 Mar 2026, 01:00 UTC+1\u201303:00 UTC+2",
    );
    expect(zoned("2026-03-29T01:00:00Z", HOUR)).toBe("Sun, 29 Mar 2026, 03:00\u201304:00");
  });
});
