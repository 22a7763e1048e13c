import { describe, expect, it } from "vitest";
import { gripAt, wholeOf, windowOf } from "./overviewScene";

const whole = { start: 0, end: 1000 };

describe("the window on the overview", () => {
  it("lies where the view does", () => {
    expect(windowOf({ start: 250, end: 500 }, whole, 400)).toEqual({ left: 100, width: 100 });
  });

  it("can be seen however short the view is, and stays on the strip", () => {
    expect(windowOf({ start: 500, end: 500.1 }, whole, 400).width).toBe(8);
    const last = windowOf({ start: 999.9, end: 1000 }, whole, 400);
    expect(last.left + last.width).toBe(400);
    expect(windowOf({ start: -500, end: 2000 }, whole, 400)).toEqual({ left: 0, width: 400 });
  });

  it("is held by its edges or its middle, a narrow one by edges outside it", () => {
    const wide = { left: 100, width: 100 };
    expect([92, 96, 106, 150, 195, 206, 208].map((x) => gripAt(x, wide))).toEqual([
      null,
      "start",
      "start",
      "middle",
      "end",
      "end",
      null,
    ]);
    const narrow = { left: 100, width: 8 };
    expect([92, 95, 104, 112, 116].map((x) => gripAt(x, narrow))).toEqual([
      null,
      "start",
      "middle",
      "end",
      null,
    ]);
  });
});

it("the whole takes in what is in view", () => {
  expect(wholeOf(null, { start: 5, end: 6 })).toEqual({ start: 5, end: 6 });
  expect(wholeOf(whole, { start: -5, end: 6 })).toEqual({ start: -5, end: 1000 });
});
