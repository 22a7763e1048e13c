/** People of a cohort with what is known of them: how old they are, what is covered of their own time, and in which order they stand. */
import type { CohortMember, User } from "../api/types";
import { overlapOf, type Span } from "../time/range";
import { toWall } from "../time/zone";

const MINUTE_MS = 60_000;

export interface CohortRow {
  member: CohortMember;
  /** null while it is not known. */
  name: string | null;
  gender: string | null;
  /** In full years on the first day of the period. */
  age: number | null;
  /** The share of minutes with a reading, of the part of the period between the person's first and last reading. */
  coverage: number;
}

export const COLUMNS = [
  "person",
  "name",
  "gender",
  "age",
  "average",
  "coverage",
  "readings",
] as const;
export type Column = (typeof COLUMNS)[number];

export interface Order {
  column: Column;
  descending: boolean;
}

export const HIGHEST_FIRST: Order = { column: "average", descending: true };

/** Full years from a birth date to a date; whoever was born on 29 February turns older on 1 March in other years. */
export function ageOn(birthDate: string, date: string): number {
  const years = Number(date.slice(0, 4)) - Number(birthDate.slice(0, 4));
  return date.slice(5) < birthDate.slice(5) ? years - 1 : years;
}

/** The part of a period that lies between somebody's first and last reading; all of it where that is not known. */
function ownPart(span: Span, user: User | undefined): Span {
  if (!user?.first_reading || !user.last_reading) return span;
  const own = {
    start: Date.parse(user.first_reading),
    end: Date.parse(user.last_reading) + MINUTE_MS,
  };
  return overlapOf(span, own);
}

export function cohortRow(
  member: CohortMember,
  user: User | undefined,
  span: Span,
  zone: string,
): CohortRow {
  const own = ownPart(span, user);
  const minutes = Math.max(1, (own.end - own.start) / MINUTE_MS);
  const birth = user?.birth_date ?? null;
  return {
    member,
    name: user?.name ?? null,
    gender: user?.gender ?? null,
    age: birth === null ? null : ageOn(birth, toWall(span.start, zone).slice(0, 10)),
    coverage: Math.min(1, member.minutes / minutes),
  };
}

function keyOf({ member, name, gender, age, coverage }: CohortRow, column: Column) {
  const keys = {
    person: member.user_id,
    name,
    gender,
    age,
    average: member.avg,
    coverage,
    readings: member.count,
  };
  return keys[column];
}

/** Rows in an order; what is not known stands last either way, and equals stay as they were. */
export function sorted(rows: readonly CohortRow[], { column, descending }: Order): CohortRow[] {
  const sign = descending ? -1 : 1;
  return [...rows].sort((one, other) => {
    const [a, b] = [keyOf(one, column), keyOf(other, column)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
  });
}

/** `age`, or `-age` from the last to the first, as the address says it. */
export function parseOrder(text: string | null): Order {
  const column = COLUMNS.find((one) => one === text?.replace(/^-/, ""));
  return column ? { column, descending: text?.startsWith("-") ?? false } : HIGHEST_FIRST;
}

export function orderText({ column, descending }: Order): string {
  return `${descending ? "-" : ""}${column}`;
}
