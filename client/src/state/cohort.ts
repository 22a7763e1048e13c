/**
 * The conditions of a cohort, as the address says them:
 *   ?over=80&age=30&gender=female&gender=other&coverage=50      and the range as everywhere
 * Numbers stay as they were written.
 */
export const GENDERS = ["female", "male", "other"] as const;
export type Gender = (typeof GENDERS)[number];

export interface Cohort {
  /** The average has to be above it, bpm. */
  threshold: string;
  /** Older than so many full years; empty for any. */
  age: string;
  genders: Gender[];
  /** The least share of minutes with a reading, percent; empty for any. */
  coverage: string;
}

const DEFAULT_THRESHOLD = "60";
const DECIMAL = /^\d{1,4}(\.\d{1,6})?$/;

/** Why a condition cannot be asked for; null where it can. */
export function problemOf(cohort: Cohort): string | null {
  const { threshold, age, coverage } = cohort;
  if (!DECIMAL.test(threshold) || Number(threshold) > 1000) {
    return "The average is a number from 0 to 1,000.";
  }
  if (age !== "" && !(/^\d{1,3}$/.test(age) && Number(age) <= 150)) {
    return "The age is a whole number from 0 to 150.";
  }
  if (coverage !== "" && !(DECIMAL.test(coverage) && Number(coverage) <= 100)) {
    return "The coverage is a number from 0 to 100.";
  }
  return null;
}

export function parseCohort(search: string): Cohort {
  const params = new URLSearchParams(search);
  const cohort: Cohort = {
    threshold: params.get("over") ?? DEFAULT_THRESHOLD,
    age: params.get("age") ?? "",
    genders: GENDERS.filter((gender) => params.getAll("gender").includes(gender)),
    coverage: params.get("coverage") ?? "",
  };
  return problemOf(cohort) === null
    ? cohort
    : { threshold: DEFAULT_THRESHOLD, age: "", genders: cohort.genders, coverage: "" };
}

/** What of the address says the conditions. */
export function cohortFields(cohort: Cohort): Record<string, readonly string[]> {
  return {
    over: [cohort.threshold],
    age: cohort.age ? [cohort.age] : [],
    gender: cohort.genders,
    coverage: cohort.coverage ? [cohort.coverage] : [],
  };
}
