import { describe, expect, it } from "vitest";
import { panned, zoomed } from "../charts/motion";
import { covers, nearEdge, neighbours, unitFor, windowFor } from "./windows";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.parse("2026-11-22T06:00:00Z");
const YEARS = 10 * 365 * DAY;

/** Views from ten seconds to ten years that end at different times before the present. */
const views = Array.from({ length: 60 }, (_, i) => {
  const length = 10_000 * (YEARS / 10_000) ** (i / 59);
  const end = NOW - (i % 7) * length * 0.37;
  return { start: end - length, end };
});

describe("the window asked for around a view", () => {
  it.each(views)("covers it with room for a start, whatever the length: %o", (view) => {
    const window = windowFor(view, 1000);
    expect(covers(window.span, view, NOW)).toBe(true);
    expect(nearEdge(window, view, NOW)).toBe(false);
    const length = view.end - view.start;
    const longest = 2 * Math.SQRT2 * length + 2000;
    expect(window.span.end - window.span.start).toBeLessThanOrEqual(longest);
  });

  it("is the same for places that lie close, and on the way back", () => {
    const view = { start: NOW - 10 * DAY, end: NOW - 9 * DAY };
    const moved = panned(view, 1000, NOW);
    expect(windowFor(moved, 1000)).toEqual(windowFor(view, 1000));
    expect(windowFor(zoomed(zoomed(view, 0.5, 0.5, NOW), 2, 0.5, NOW), 1000)).toEqual(
      windowFor(view, 1000),
    );
  });

  it("has as many points for the view as the width has room for", () => {
    const { span, unitMs, maxPoints } = windowFor({ start: NOW - DAY, end: NOW }, 1000);
    expect(unitMs).toBe(DAY);
    expect(maxPoints / ((span.end - span.start) / unitMs)).toBe(1500);
  });

  it("takes a week with a change of time for a week", () => {
    expect(unitFor(7 * DAY + HOUR)).toBe(unitFor(7 * DAY));
  });
});

describe("the time to ask for the next window", () => {
  const view = { start: NOW - 10 * DAY, end: NOW - 9 * DAY };
  const window = windowFor(view, 1000);

  it("comes before the view has left this one", () => {
    const moved = panned(view, DAY / 2, NOW);
    expect(nearEdge(window, moved, NOW)).toBe(true);
    expect(covers(window.span, panned(view, DAY / 4, NOW), NOW)).toBe(true);
    expect(covers(window.span, panned(view, DAY, NOW), NOW)).toBe(false);
  });

  it("does not come where there can be no readings", () => {
    const last = { start: NOW - DAY, end: NOW };
    expect(nearEdge({ ...window, span: { start: NOW - 2 * DAY, end: NOW } }, last, NOW)).toBe(
      false,
    );
    const first = { start: 0, end: DAY };
    expect(nearEdge({ ...window, span: { start: 0, end: 2 * DAY } }, first, NOW)).toBe(false);
  });
});

it("neighbours are where a step in any direction leads, and stay in bounds", () => {
  const view = { start: NOW - 2 * DAY, end: NOW - DAY };
  expect(neighbours(view, NOW)).toEqual([
    { start: NOW - 1.75 * DAY, end: NOW - 1.25 * DAY },
    { start: NOW - 2.5 * DAY, end: NOW - 1.5 * DAY },
    { start: NOW - 1.5 * DAY, end: NOW - DAY / 2 },
    { start: NOW - 2.5 * DAY, end: NOW - DAY / 2 },
  ]);
  expect(neighbours({ start: NOW - DAY, end: NOW }, NOW)[2]).toEqual({
    start: NOW - DAY,
    end: NOW,
  });
});

it("a neighbour aside takes over before this window's edge comes near", () => {
  const view = { start: NOW - 10 * DAY, end: NOW - 9 * DAY };
  const aside = neighbours(view, NOW)[2] ?? view;
  for (let moved = 0; moved < 0.8; moved += 0.05) {
    const there = panned(view, moved * DAY, NOW);
    const near = [view, aside].map((one) => nearEdge(windowFor(one, 1000), there, NOW));
    expect(near).toContain(false);
  }
});
