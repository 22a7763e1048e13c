/** Asking who is in a cohort, page by page until all are there. */
import { useEffect, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { CohortMember, CohortPage } from "../api/types";
import { instantText, type Span } from "../time/range";
import { type Cohort, HEART_RATE } from "./cohort";

/** As many as the server gives at once. */
const MOST_AT_ONCE = 1000;
/** A bound that no average of heart rate reaches: the server wants one, and everybody is within it. */
const ABOVE_ALL_BPM = 1000;

const isMember = (one: CohortMember | string): one is CohortMember => typeof one === "object";

export interface Asked {
  cohort: Cohort;
  span: Span;
  zone: string;
}

/** A bound under its name, if it is said. */
function bound<N extends string>(name: N, text: string): { [K in N]?: number } {
  return text === "" ? {} : ({ [name]: Number(text) } as { [K in N]?: number });
}

/** Coverage is not asked for: the server's is of the whole period, the page's of the time people have data in. */
function questionOf({ cohort, span, zone }: Asked) {
  const { metric, over, upTo } = cohort;
  const ofHeart = metric === HEART_RATE;
  const open = ofHeart && over === "" && upTo === "";
  return {
    start: instantText(span.start),
    end: instantText(span.end),
    ...bound(ofHeart ? "min_avg_heart_rate" : "min_avg", over),
    ...(open ? { max_avg: ABOVE_ALL_BPM } : bound("max_avg", upTo)),
    ...bound("min_age", cohort.age),
    ...bound("max_age", cohort.upToAge),
    ...(cohort.genders.length === 0 ? {} : { gender: [...cohort.genders] }),
    include: "averages" as const,
    tz: zone,
  };
}

async function pageOf(
  asked: Asked,
  cursor: string | null,
  signal: AbortSignal,
): Promise<CohortPage> {
  const { metric } = asked.cohort;
  const question = { ...questionOf(asked), limit: MOST_AT_ONCE, ...(cursor ? { cursor } : {}) };
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

export interface Listing {
  /** What it answers: until the next answer is there, the former question's words stay with its figures. */
  asked: Asked;
  members: readonly CohortMember[];
  /** Whether all of them are there. */
  complete: boolean;
}

/** Everybody in a cohort, the highest average first, told as they come; null asks for nothing yet. */
export function useCohort(asked: Asked | null) {
  const [listing, setListing] = useState<{ key: string; found: Listing } | null>(null);
  const [failure, setFailure] = useState<{ key: string; error: unknown } | null>(null);
  const [attempt, setAttempt] = useState(0);
  const key = `${attempt} ${JSON.stringify(asked)}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the question.
  useEffect(() => {
    if (!asked) return;
    const control = new AbortController();
    const askAll = async () => {
      const members: CohortMember[] = [];
      let cursor: string | null = null;
      do {
        const page: CohortPage = await pageOf(asked, cursor, control.signal);
        members.push(...page.data.filter(isMember));
        cursor = page.next_cursor;
        const complete = cursor === null;
        setListing({ key, found: { asked, members: [...members], complete } });
        setFailure(null);
      } while (cursor !== null);
    };
    askAll().catch((error: unknown) => {
      if (!control.signal.aborted && !isAbort(error)) setFailure({ key, error });
    });
    return () => control.abort();
  }, [key]);

  const error = failure?.key === key ? failure.error : null;
  const found = listing?.found ?? null;
  return {
    listing: asked ? found : null,
    loading: error === null && (listing?.key !== key || !found?.complete),
    error,
    retry: () => setAttempt((count) => count + 1),
  };
}
