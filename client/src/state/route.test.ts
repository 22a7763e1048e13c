import { describe, expect, it } from "vitest";
import { addressOf, changedSearch, PAGES, pageOf } from "./route";

describe("routes", () => {
  it("finds each page under its own address", () => {
    for (const { id } of PAGES) expect(pageOf(addressOf(id))).toBe(id);
    expect(pageOf("/app/live/")).toBe("live");
    expect(pageOf("/app/nowhere")).toBeNull();
  });

  it("keeps what is not changed in the search", () => {
    expect(changedSearch("?people=a&people=b&window=5m", { people: ["c:d"] })).toBe(
      "?window=5m&people=c:d",
    );
    expect(changedSearch("?window=5m", { window: [] })).toBe("");
  });
});
