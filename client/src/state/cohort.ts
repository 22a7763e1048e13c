/**
 * The conditions of a cohort, as the address says them:
 *   ?over=80&age=30&gender=female&gender=other&coverage=50      and the range as everywhere
 *   ?metric=oxygen_saturation&over=90&upto=95&upto_age=60       of another metric, in its unit
 * Numbers stay as they were written.
 */

import { LOCALE } from "../locale";
import { parseView } from "./url";

export const GENDERS = ["female", "male", "other"] as const;
export type Gender = (typeof GENDERS)[number];

export const HEART_RATE = "heart_rate";

export interface Cohort {
  /** What the average is of, by its name in `GET /v1/metrics`. */
  metric: string;
  /** The average has to be above it, in the metric's unit; empty for any. */
  over: string;
  /** The average must not be above it; empty for any. */
  upTo: string;
  /** Older than so many full years; empty for any. */
  age: string;
  /** Not older than so many full years; empty for any. */
  upToAge: string;
  genders: Gender[];
  /** The least share of minutes with a reading, of the time a person has data in, percent; empty for any. */
  coverage: string;
}

const DECIMAL = /^\d{1,4}(\.\d{1,6})?$/;
/** Of other metrics an average may be below zero. */
const SIGNED = /^-?\d{1,5}(\.\d{1,6})?$/;

/** No bounds, with which everybody is in: those of another metric mean nothing in this one's unit. */
export function firstBounds(metric: string): Pick<Cohort, "metric" | "over" | "upTo"> {
  return { metric, over: "", upTo: "" };
}

function averageProblem({ metric, over, upTo }: Cohort): string | null {
  const bounds = [over, upTo].filter((bound) => bound !== "");
  if (metric === HEART_RATE) {
    if (bounds.some((bound) => !DECIMAL.test(bound) || Number(bound) > 1000)) {
      return "The average is a number from 0 to 1,000.";
    }
  }
  if (bounds.some((bound) => !SIGNED.test(bound))) {
    return "The average is a number in the metric’s unit.";
  }
  if (bounds.length === 2 && Number(upTo) <= Number(over)) {
    return "The highest average has to be above the one it is to be above.";
  }
  return null;
}

function ageProblem({ age, upToAge }: Cohort): string | null {
  const ages = [age, upToAge].filter((one) => one !== "");
  if (ages.some((one) => !/^\d{1,3}$/.test(one) || Number(one) > 150)) {
    return "The age is a whole number from 0 to 150.";
  }
  if (ages.length === 2 && Number(upToAge) <= Number(age)) {
    return "The highest age has to be above the one people are to be older than.";
  }
  return null;
}

/** Why a condition cannot be asked for; null where it can. */
export function problemOf(cohort: Cohort): string | null {
  const { coverage } = cohort;
  const found = averageProblem(cohort) ?? ageProblem(cohort);
  if (found) return found;
  if (coverage !== "" && !(DECIMAL.test(coverage) && Number(coverage) <= 100)) {
    return "The coverage is a number from 0 to 100.";
  }
  return null;
}

export function parseCohort(search: string): Cohort {
  const params = new URLSearchParams(search);
  const first = firstBounds(parseView(search).others[0] ?? HEART_RATE);
  const genders = GENDERS.filter((gender) => params.getAll("gender").includes(gender));
  const cohort: Cohort = {
    ...first,
    over: params.get("over") ?? "",
    upTo: params.get("upto") ?? "",
    age: params.get("age") ?? "",
    upToAge: params.get("upto_age") ?? "",
    genders,
    coverage: params.get("coverage") ?? "",
  };
  return problemOf(cohort) === null
    ? cohort
    : { ...first, age: "", upToAge: "", genders, coverage: "" };
}

const said = (text: string) => (text === "" ? [] : [text]);

/** What of the address says the conditions. */
export function cohortFields(cohort: Cohort): Record<string, readonly string[]> {
  return {
    metric: cohort.metric === HEART_RATE ? [] : [cohort.metric],
    over: said(cohort.over),
    upto: said(cohort.upTo),
    age: said(cohort.age),
    upto_age: said(cohort.upToAge),
    gender: cohort.genders,
    coverage: said(cohort.coverage),
  };
}

const numberOf = (text: string, locale = LOCALE) =>
  Number(text).toLocaleString(locale, { maximumFractionDigits: 6 });

/** `above 60 bpm`, `above 90 and up to 95 %`; empty without bounds. */
export function boundsLabel({ over, upTo }: Cohort, unit: string, locale = LOCALE): string {
  const parts = [
    over && `above ${numberOf(over, locale)}`,
    upTo && `up to ${numberOf(upTo, locale)}`,
  ].filter(Boolean);
  return parts.length === 0 ? "" : `${parts.join(" and ")} ${unit}`;
}

/** All that is said of people beside their average: `female or other`, `older than 30`, `coverage of at least 50 %`. */
export function conditionLabels(cohort: Cohort, locale = LOCALE): string[] {
  const { genders, age, upToAge, coverage } = cohort;
  const ages = [age && `older than ${age}`, upToAge && `up to ${upToAge}`].filter(Boolean);
  return [
    genders.join(" or "),
    ages.length === 0 ? "" : `${ages.join(" and ")} years`,
    coverage && `coverage of at least ${numberOf(coverage, locale)} %`,
  ].filter((text) => text !== "");
}
