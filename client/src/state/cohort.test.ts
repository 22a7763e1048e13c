import { describe, expect, it } from "vitest";
import {
  boundsLabel,
  type Cohort,
  cohortFields,
  conditionLabels,
  firstBounds,
  parseCohort,
  problemOf,
} from "./cohort";
import { changedSearch } from "./route";

const cohort: Cohort = {
  metric: "heart_rate",
  over: "80.5",
  upTo: "",
  age: "30",
  upToAge: "",
  genders: ["female", "other"],
  coverage: "50",
};
const breathing: Cohort = { ...cohort, metric: "oxygen_saturation", over: "", upTo: "92.5" };
const cooler: Cohort = { ...cohort, metric: "skin_temperature_delta", over: "-1.5", upTo: "-0.25" };

describe("a cohort's conditions", () => {
  it("survive a round trip beside the range", () => {
    const search = changedSearch("?range=7d", cohortFields(cohort));
    expect(search).toBe("?range=7d&over=80.5&age=30&gender=female&gender=other&coverage=50");
    for (const one of [
      cohort,
      breathing,
      cooler,
      { ...cooler, over: "", upTo: "", upToAge: "60" },
    ]) {
      expect(parseCohort(changedSearch("?range=7d", cohortFields(one)))).toEqual(one);
    }
  });

  it("take the place of those of another metric", () => {
    const search = changedSearch("?range=7d&over=80.5", cohortFields(breathing));
    expect(search.startsWith("?range=7d&metric=oxygen_saturation&upto=92.5&age=30")).toBe(true);
    expect(changedSearch(search, cohortFields(cohort))).not.toContain("metric");
  });

  it("are those of everybody where the address says nothing that makes sense", () => {
    const everybody = {
      ...firstBounds("heart_rate"),
      age: "",
      upToAge: "",
      genders: [],
      coverage: "",
    };
    expect(everybody.over).toBe("");
    expect(parseCohort("")).toEqual(everybody);
    expect(parseCohort("?metric=heart-rate")).toEqual(everybody);
    expect(parseCohort("?over=high&age=x&gender=none")).toEqual(everybody);
    const spoken = { ...everybody, metric: "respiratory_rate", over: "" };
    expect(parseCohort("?metric=respiratory-rate&over=fast")).toEqual(spoken);
  });

  it("have an upper bound alone where the address says so", () => {
    expect(parseCohort("?upto=70")).toMatchObject({ metric: "heart_rate", over: "", upTo: "70" });
    expect(parseCohort("?metric=hrv_rmssd")).toMatchObject({ over: "", upTo: "" });
  });

  it("are refused with the reason", () => {
    for (const good of [cohort, breathing, cooler]) expect(problemOf(good)).toBeNull();
    expect(problemOf({ ...cohort, over: "" })).toBeNull();
    expect(problemOf({ ...cohort, over: "1001" })).toContain("0 to 1,000");
    expect(problemOf({ ...cohort, over: "-1" })).toContain("0 to 1,000");
    expect(problemOf({ ...breathing, over: "95" })).toContain("highest average");
    expect(problemOf({ ...breathing, over: "ninety" })).toContain("unit");
    expect(problemOf({ ...cohort, age: "1.5" })).toContain("age");
    expect(problemOf({ ...cohort, age: "40", upToAge: "40" })).toContain("highest age");
    expect(problemOf({ ...cohort, coverage: "101" })).toContain("coverage");
  });

  it("are said with the metric's unit", () => {
    expect(boundsLabel(cohort, "bpm", "en")).toBe("above 80.5 bpm");
    expect(boundsLabel(cooler, "°C", "de")).toBe("above -1,5 and up to -0,25 °C");
    expect(conditionLabels({ ...cohort, upToAge: "45" }, "en")).toEqual([
      "female or other",
      "older than 30 and up to 45 years",
      "coverage of at least 50 %",
    ]);
    expect(boundsLabel({ ...breathing, upTo: "" }, "%", "en")).toBe("");
  });
});
