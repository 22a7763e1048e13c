import { describe, expect, it } from "vitest";
import { MIN_SPAN_MS } from "../time/range";
import { brushed, commandOf, panned, pinched, settled, wheelFactor, zoomed } from "./motion";

const HOUR = 3_600_000;
const LATEST = 1000 * HOUR;
const span = { start: 100 * HOUR, end: 110 * HOUR };

describe("moving", () => {
  it("keeps the length and stops at the present and at 1970", () => {
    expect(panned(span, HOUR, LATEST)).toEqual({ start: 101 * HOUR, end: 111 * HOUR });
    expect(panned(span, LATEST, LATEST)).toEqual({ start: 990 * HOUR, end: LATEST });
    expect(panned(span, -LATEST, LATEST)).toEqual({ start: 0, end: 10 * HOUR });
  });
});

describe("zooming", () => {
  it("keeps the instant under the cursor where it is", () => {
    const closer = zoomed(span, 0.5, 0.2, LATEST);
    expect(closer).toEqual({ start: 101 * HOUR, end: 106 * HOUR });
    expect(zoomed(closer, 2, 0.2, LATEST)).toEqual(span);
  });

  it("ends at the narrowest view and at all there is", () => {
    const narrow = zoomed(span, 1e-9, 0.5, LATEST);
    expect(narrow.end - narrow.start).toBe(MIN_SPAN_MS);
    expect(narrow.start + MIN_SPAN_MS / 2).toBe(105 * HOUR);
    expect(zoomed(span, 1e9, 0.5, LATEST)).toEqual({ start: 0, end: LATEST });
  });

  it("by the wheel goes back by as much as it went, and never wildly", () => {
    expect(wheelFactor(100, 0) * wheelFactor(-100, 0)).toBeCloseTo(1);
    expect(wheelFactor(100, 0)).toBeGreaterThan(1);
    expect(wheelFactor(3, 1)).toBeGreaterThan(wheelFactor(3, 0));
    expect(wheelFactor(1e6, 0)).toBe(wheelFactor(400, 0));
  });
});

describe("two fingers", () => {
  it("apart show less, and what is under them stays under them", () => {
    const after = pinched(span, [0.4, 0.6], [0.2, 0.8], LATEST);
    expect(after.end - after.start).toBeCloseTo((10 / 3) * HOUR, 3);
    const under = (view: typeof span, fraction: number) => {
      return view.start + fraction * (view.end - view.start);
    };
    expect(under(after, 0.2)).toBeCloseTo(under(span, 0.4), 3);
    expect(under(after, 0.8)).toBeCloseTo(under(span, 0.6), 3);
  });

  it("aside together move, and on one another do no harm", () => {
    expect(pinched(span, [0.4, 0.6], [0.5, 0.7], LATEST)).toEqual(panned(span, -HOUR, LATEST));
    const same = pinched(span, [0.5, 0.5], [0.5, 0.5], LATEST);
    expect(same.end - same.start).toBeCloseTo(10 * HOUR);
  });
});

describe("the overview's window", () => {
  it("is moved by its middle and resized by its edges, which do not pass each other", () => {
    expect(brushed(span, "middle", HOUR, LATEST)).toEqual(panned(span, HOUR, LATEST));
    expect(brushed(span, "start", HOUR, LATEST)).toEqual({ ...span, start: 101 * HOUR });
    expect(brushed(span, "start", LATEST, LATEST).start).toBe(span.end - MIN_SPAN_MS);
    expect(brushed(span, "end", 2 * LATEST, LATEST)).toEqual({ ...span, end: LATEST });
    expect(brushed(span, "end", -LATEST, LATEST).end).toBe(span.start + MIN_SPAN_MS);
  });
});

describe("keys", () => {
  const key = (name: string, shiftKey = false, ctrlKey = false) => {
    return commandOf({ key: name, shiftKey, ctrlKey, metaKey: false, altKey: false });
  };

  it("move, zoom, and leave the browser's own alone", () => {
    expect(key("ArrowLeft")).toEqual({ kind: "pan", fraction: -0.1 });
    expect(key("ArrowRight", true)).toEqual({ kind: "pan", fraction: 0.5 });
    expect(key("+")).toEqual({ kind: "zoom", factor: 0.5 });
    expect(key("+", false, true)).toBeNull();
    expect(key("Tab")).toBeNull();
  });
});

it("a view comes to rest on round instants and does not grow by that", () => {
  const view = { start: 1_700_000_000_123.4, end: 1_700_000_000_123.4 + HOUR };
  const once = settled(view);
  expect(once.end - once.start).toBe(HOUR);
  expect(once.start % 1000).toBe(0);
  expect(settled(once)).toEqual(once);
  expect(settled({ start: 0.4, end: 10_000.4 })).toEqual({ start: 0, end: 10_000 });
});
