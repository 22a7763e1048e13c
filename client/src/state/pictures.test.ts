import { describe, expect, it } from "vitest";
import { FRESH_MS, fits, isFresh, type Picture, Pictures, subjectKey } from "./pictures";
import { windowFor } from "./windows";

const HOUR = 3_600_000;
const NOW = Date.parse("2026-11-22T06:00:00Z");
const DAY = 24 * HOUR;

function picture(daysAgo: number, more: Partial<Picture> = {}): Picture {
  const end = NOW - daysAgo * DAY;
  return {
    subject: "s",
    window: windowFor({ start: end - DAY, end }, 1000),
    askedAt: NOW,
    tracks: [],
    pyramids: [],
    interval: "1m",
    table: "t",
    unit: "bpm",
    points: 10,
    missing: [],
    ...more,
  };
}

const viewOf = (daysAgo: number) => ({
  start: NOW - (daysAgo + 1) * DAY,
  end: NOW - daysAgo * DAY,
});

describe("pictures kept", () => {
  it("are found for the views they fit, and for no others", () => {
    const kept = new Pictures();
    const three = picture(3);
    kept.put(three);
    expect(kept.find("s", DAY, viewOf(3), NOW)).toBe(three);
    expect(kept.find("s", DAY, viewOf(5), NOW)).toBeNull();
    expect(kept.find("other", DAY, viewOf(3), NOW)).toBeNull();
    expect(kept.find("s", 2 * DAY, viewOf(3), NOW)).toBeNull();
  });

  it("are bounded by their points; those used last stay", () => {
    const kept = new Pictures();
    const big = 1_000_000;
    kept.put(picture(3, { points: big }));
    kept.put(picture(6, { points: big }));
    expect(kept.find("s", DAY, viewOf(3), NOW)).not.toBeNull();
    kept.put(picture(9, { points: big }));
    expect(kept.find("s", DAY, viewOf(6), NOW)).toBeNull();
    expect(kept.find("s", DAY, viewOf(3), NOW)).not.toBeNull();
    expect(kept.find("s", DAY, viewOf(9), NOW)).not.toBeNull();
  });

  it("keep even one that is larger than the bound: it is on the screen", () => {
    const kept = new Pictures();
    kept.put(picture(3, { points: 99_000_000 }));
    expect(kept.find("s", DAY, viewOf(3), NOW)).not.toBeNull();
  });

  it("are bounded in number", () => {
    const kept = new Pictures();
    for (let daysAgo = 3; daysAgo < 200; daysAgo += 2) kept.put(picture(daysAgo));
    expect(kept.find("s", DAY, viewOf(3), NOW)).toBeNull();
    expect(kept.find("s", DAY, viewOf(199), NOW)).not.toBeNull();
  });
});

describe("freshness", () => {
  it("is short where the present is in the picture, long where it is past", () => {
    const later = NOW + FRESH_MS + 1;
    expect(isFresh(picture(0), NOW)).toBe(true);
    expect(isFresh(picture(0), later)).toBe(false);
    expect(isFresh(picture(3), later)).toBe(true);
    expect(isFresh(picture(3), NOW + 3_600_000)).toBe(false);
  });

  it("is preferred, then room around the view", () => {
    const kept = new Pictures();
    const [roomy, near, stale] = [picture(3), picture(3.25), picture(3, { askedAt: 0 })];
    stale.window = {
      ...stale.window,
      unitMs: DAY,
      span: { ...stale.window.span, start: NOW - 9 * DAY },
    };
    for (const one of [roomy, near, stale]) kept.put(one);
    expect(fits(near, "s", DAY, viewOf(2.85), NOW)).toBe(true);
    expect(kept.find("s", DAY, viewOf(2.85), NOW)).toBe(roomy);
    expect(kept.find("s", DAY, viewOf(3), NOW)).toBe(roomy);
  });
});

it("subjects differ by all that changes the answer, and not by a pixel", () => {
  const subject = {
    people: ["a", "b"],
    zone: "UTC",
    clocks: null,
    metric: null,
    interval: null,
    width: 1001,
  } as const;
  const key = subjectKey(subject);
  expect(subjectKey({ ...subject, width: 1050 })).toBe(key);
  expect(subjectKey({ ...subject, width: 1200 })).not.toBe(key);
  expect(subjectKey({ ...subject, zone: "Europe/Berlin" })).not.toBe(key);
  expect(subjectKey({ ...subject, clocks: ["UTC", "Asia/Tokyo"] })).not.toBe(key);
  expect(subjectKey({ ...subject, people: ["a"] })).not.toBe(key);
  expect(subjectKey({ ...subject, metric: "hrv_rmssd" })).not.toBe(key);
  expect(subjectKey({ ...subject, interval: "1s" })).not.toBe(key);
});
