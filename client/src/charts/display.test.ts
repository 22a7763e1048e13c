import { describe, expect, it } from "vitest";
import { queryString } from "../api/client";
import { ApiError, explain } from "../api/errors";
import { maxPointsFor } from "./density";
import { assignSlots, DARK_THEME, LIGHT_THEME } from "./palette";

/** WCAG contrast of two `#rrggbb` colours. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((i) => {
      const part = Number.parseInt(colour.slice(i, i + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

describe("colours", () => {
  it("stay with those who stay", () => {
    const first = assignSlots(new Map(), ["a", "b", "c"]);
    expect([...first]).toEqual([
      ["a", 0],
      ["b", 1],
      ["c", 2],
    ]);
    const second = assignSlots(first, ["b", "d", "c"]);
    expect(second.get("b")).toBe(1);
    expect(second.get("c")).toBe(2);
    expect(second.get("d")).toBe(0);
  });

  it.each([LIGHT_THEME, DARK_THEME])("can be seen against their ground", (theme) => {
    for (const line of theme.lines) {
      expect(contrast(line, theme.surface)).toBeGreaterThanOrEqual(3);
    }
    expect(contrast(theme.axis, theme.surface)).toBeGreaterThanOrEqual(4.5);
  });
});

it("asks for points by the width, in steps and within bounds", () => {
  const day = 24 * 3_600_000;
  expect(maxPointsFor(1000, day)).toBeGreaterThan(24 * 60);
  expect(maxPointsFor(340, day)).toBeLessThan(24 * 60);
  expect(maxPointsFor(1001, day)).toBe(maxPointsFor(1060, day));
  expect(maxPointsFor(9000, day)).toBe(4000);
  expect(maxPointsFor(0, day)).toBe(300);
  expect(maxPointsFor(1000, 2 * day, day)).toBe(2 * maxPointsFor(1000, day));
});

it("has a point for each day of however many years", () => {
  expect(maxPointsFor(340, 20 * 365 * 24 * 3_600_000)).toBeGreaterThan(20 * 365);
});

it("repeats lists in a query and leaves out what is not there", () => {
  const query = { user_ids: ["a+b", "c"], tz: "Europe/Berlin", interval: null, limit: undefined };
  expect(queryString(query)).toBe("user_ids=a%2Bb&user_ids=c&tz=Europe%2FBerlin");
});

describe("errors", () => {
  it("are told with what the server said", () => {
    const problem = {
      title: "Bad Request",
      detail: "The range is too long.",
      request_id: "r1",
      errors: [{ field: "end_date", reason: "too far away" }],
    };
    expect(explain(new ApiError(400, problem))).toEqual({
      headline: "The server did not accept this request.",
      detail: "The range is too long. end_date: too far away",
      requestId: "r1",
    });
    expect(explain(new ApiError(503, {})).headline).toContain("busy");
  });

  it("of the network are told apart", () => {
    expect(explain(new TypeError("Failed to fetch")).headline).toBe("Pulsebase does not answer.");
  });
});
