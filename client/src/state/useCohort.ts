/** Asking who is in a cohort: page by page as it is read, or all of it for a file. */
import { useEffect, useRef, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { CohortMember, CohortPage } from "../api/types";
import { instantText, type Span } from "../time/range";
import { type Cohort, HEART_RATE } from "./cohort";

const PAGE_SIZE = 25;
/** As many as the server gives at once. */
const MOST_AT_ONCE = 1000;

const isMember = (one: CohortMember | string): one is CohortMember => typeof one === "object";

export interface Asked {
  cohort: Cohort;
  span: Span;
  zone: string;
}

/** A bound under its name, if it is said. */
function bound<N extends string>(name: N, text: string, part = 1): { [K in N]?: number } {
  return text === "" ? {} : ({ [name]: Number(text) / part } as { [K in N]?: number });
}

function questionOf({ cohort, span, zone }: Asked) {
  return {
    start: instantText(span.start),
    end: instantText(span.end),
    ...bound(cohort.metric === HEART_RATE ? "min_avg_heart_rate" : "min_avg", cohort.over),
    ...bound("max_avg", cohort.upTo),
    ...bound("min_age", cohort.age),
    ...bound("max_age", cohort.upToAge),
    ...(cohort.genders.length === 0 ? {} : { gender: [...cohort.genders] }),
    ...bound("min_coverage", cohort.coverage, 100),
    include: "averages" as const,
    tz: zone,
  };
}

async function pageOf(
  asked: Asked,
  limit: number,
  cursor: string | null,
  signal: AbortSignal,
): Promise<CohortPage> {
  const { metric } = asked.cohort;
  const question = { ...questionOf(asked), limit, ...(cursor ? { cursor } : {}) };
  const answer =
    metric === HEART_RATE
      ? await get("/v1/cohorts/heart-rate", question, signal)
      : await get("/v1/cohorts/{metric}", question, signal, {
          metric: metric.replaceAll("_", "-"),
        });
  if (!("data" in answer)) {
    throw new Error("This key may see what groups come to, and nobody in them.");
  }
  return answer;
}

/** Everybody in a cohort, the highest average first. */
export async function wholeCohort(asked: Asked, signal: AbortSignal): Promise<CohortMember[]> {
  const members: CohortMember[] = [];
  let cursor: string | null = null;
  do {
    const page: CohortPage = await pageOf(asked, MOST_AT_ONCE, cursor, signal);
    members.push(...page.data.filter(isMember));
    cursor = page.next_cursor;
  } while (cursor);
  return members;
}

export interface Listing {
  /** What it answers: until the next answer is there, the former question's words stay with its figures. */
  asked: Asked;
  count: number;
  members: CohortMember[];
  cursor: string | null;
}

/** The first page of a cohort, and more of it on request; null asks for nothing yet. */
export function useCohort(asked: Asked | null) {
  const [listing, setListing] = useState<{ key: string; found: Listing } | null>(null);
  const [failure, setFailure] = useState<{ key: string; error: unknown } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const control = useRef<AbortController | null>(null);
  const key = `${attempt} ${JSON.stringify(asked)}`;

  const ask = (asked: Asked, from: string | null, former: readonly CohortMember[]) => {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    pageOf(asked, PAGE_SIZE, from, mine.signal)
      .then(({ count, data, next_cursor: cursor }) => {
        const members = [...former, ...data.filter(isMember)];
        setListing({ key, found: { asked, count, members, cursor } });
        setFailure(null);
      })
      .catch((error: unknown) => {
        if (!isAbort(error)) setFailure({ key, error });
      });
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the question.
  useEffect(() => {
    if (!asked) return;
    ask(asked, null, []);
    return () => control.current?.abort();
  }, [key]);

  const error = failure?.key === key ? failure.error : null;
  return {
    listing: listing?.found ?? null,
    loading: listing?.key !== key && error === null,
    error,
    more: () => listing && ask(listing.found.asked, listing.found.cursor, listing.found.members),
    retry: () => setAttempt((count) => count + 1),
  };
}
