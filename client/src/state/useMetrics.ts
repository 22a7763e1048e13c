/** The metrics that can be put below heart rate: what the server knows of them, and who has which. */
import { useEffect, useMemo, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { AnswerOf } from "../api/types";

export type MetricRecord = AnswerOf<"/v1/metrics">["data"][number];

interface Found {
  all: readonly MetricRecord[];
  /** Names by person. */
  had: ReadonlyMap<string, readonly string[]>;
}

const NOTHING: Found = { all: [], had: new Map() };

async function metricsOf(id: string, signal: AbortSignal): Promise<[string, string[]]> {
  const { data } = await get("/v1/users/{user_id}/metrics", {}, signal, { user_id: id });
  return [id, data.map((entry) => entry.metric)];
}

/** What may be offered: metrics that somebody has, and chosen ones, in the server's order. */
export function offered(
  all: readonly MetricRecord[],
  had: ReadonlySet<string>,
  chosen: readonly string[],
): MetricRecord[] {
  return all.filter(({ metric }) => {
    return metric !== "heart_rate" && (had.has(metric) || chosen.includes(metric));
  });
}

export interface Metrics {
  offered: readonly MetricRecord[];
  /** Null while it is not known, and for a name that the server does not know. */
  recordOf: (name: string) => MetricRecord | null;
  /** Whether the server has answered, and does not know the name. */
  unknown: (name: string) => boolean;
  error: unknown;
}

/** Asks for the metrics of people whom the server knows, once the page has nothing more urgent to ask. */
export function useMetrics(
  people: readonly string[],
  chosen: readonly string[],
  begin: boolean,
): Metrics {
  const [found, setFound] = useState<Found>(NOTHING);
  const [error, setError] = useState<unknown>(null);
  const key = people.join(" ");

  useEffect(() => {
    if (!begin || key === "") return;
    const control = new AbortController();
    const { signal } = control;
    const asked = Promise.all(key.split(" ").map((id) => metricsOf(id, signal)));
    Promise.all([get("/v1/metrics", {}, signal), asked])
      .then(([{ data }, had]) => {
        setFound({ all: data, had: new Map(had) });
        setError(null);
      })
      .catch((failure: unknown) => {
        if (!isAbort(failure)) setError(failure);
      });
    return () => control.abort();
  }, [begin, key]);

  return useMemo(() => {
    const had = new Set(people.flatMap((id) => found.had.get(id) ?? []));
    return {
      offered: offered(found.all, had, chosen),
      recordOf: (name) => found.all.find((one) => one.metric === name) ?? null,
      unknown: (name) => found.all.length > 0 && !found.all.some((one) => one.metric === name),
      error,
    };
  }, [people, chosen, found, error]);
}
