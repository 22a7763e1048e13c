import { describe, expect, it } from "vitest";
import { FIRST_SIGNAL, readSignal } from "./signals";

describe("a new signal", () => {
  const over = { ...FIRST_SIGNAL, bound: " 120,5 ", length: "2m" };

  it("is a value and how long, of everybody or of some", () => {
    expect(readSignal(over)).toEqual({ metric: "heart_rate", above: 120.5, for: "2m" });
    expect(readSignal({ ...over, condition: "below", people: "ann, bob  ann" })).toEqual({
      metric: "heart_rate",
      below: 120.5,
      for: "2m",
      user_ids: ["ann", "bob"],
    });
  });

  it("or how long there was nothing", () => {
    const silent = { ...FIRST_SIGNAL, condition: "silent_for", bound: "6h" } as const;
    expect(readSignal(silent)).toEqual({ metric: "heart_rate", silent_for: "6h" });
  });

  it.each([
    { ...over, bound: "" },
    { ...over, bound: "much" },
    { ...over, length: "a while" },
    { ...over, condition: "silent_for", bound: "6" } as const,
  ])("says what is wrong with it: %o", (form) => {
    expect(readSignal(form)).toMatch(/\?/);
  });
});
