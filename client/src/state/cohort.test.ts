import { describe, expect, it } from "vitest";
import { type Cohort, cohortFields, parseCohort, problemOf } from "./cohort";
import { changedSearch } from "./route";

const cohort: Cohort = {
  threshold: "80.5",
  age: "30",
  genders: ["female", "other"],
  coverage: "50",
};

describe("a cohort's conditions", () => {
  it("survive a round trip beside the range", () => {
    const search = changedSearch("?range=7d", cohortFields(cohort));
    expect(parseCohort(search)).toEqual(cohort);
    expect(search.startsWith("?range=7d&")).toBe(true);
  });

  it("are those of everybody where the address says nothing that makes sense", () => {
    const everybody = { threshold: "60", age: "", genders: [], coverage: "" };
    expect(parseCohort("")).toEqual(everybody);
    expect(parseCohort("?over=high&age=x&gender=none")).toEqual(everybody);
  });

  it("are refused with the reason", () => {
    expect(problemOf(cohort)).toBeNull();
    expect(problemOf({ ...cohort, threshold: "" })).toContain("average");
    expect(problemOf({ ...cohort, age: "1.5" })).toContain("age");
    expect(problemOf({ ...cohort, coverage: "101" })).toContain("coverage");
  });
});
