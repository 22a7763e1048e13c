import { useEffect, useState } from "react";
import { request } from "../api/client";
import { ApiError } from "../api/errors";
import type { AnswerOf } from "../api/types";
import { parseSamples, ratePerSecond, type Samples, totalOf } from "../figures/promtext";

const POLL_MS = 5000;
/** A quarter of an hour of rates. */
const MOST_RATES = 180;
export const ACCEPTED = "pulsebase_ingest_readings_accepted_total";

export type Health = AnswerOf<"/health">;

export interface SystemState {
  samples: Samples | null;
  /** What the server said of itself when it last answered. */
  health: Health | null;
  /** Readings stored a second, between one look and the next. */
  rates: { at: number; from: number; value: number }[];
  /** Why the latest look failed; null if it did not. */
  error: unknown;
  askedAt: number | null;
}

const UNKNOWN: SystemState = { samples: null, health: null, rates: [], error: null, askedAt: null };

/** A server that is unwell says so with 503, and how in the same words. */
async function readHealth(signal: AbortSignal): Promise<Health> {
  try {
    const answer = await request("/health", signal, { accept: "application/json" });
    return (await answer.json()) as Health;
  } catch (error) {
    if (error instanceof ApiError && "checks" in error.problem) {
      return error.problem as unknown as Health;
    }
    throw error;
  }
}

async function readSamples(signal: AbortSignal): Promise<Samples> {
  const answer = await request("/metrics", signal, { accept: "text/plain" });
  return parseSamples(await answer.text());
}

function withRates(former: SystemState, samples: Samples, at: number): SystemState["rates"] {
  const before = former.samples && totalOf(former.samples, ACCEPTED);
  const value = totalOf(samples, ACCEPTED);
  if (before === null || value === null || former.askedAt === null) return former.rates;
  const rate = ratePerSecond({ at: former.askedAt, value: before }, { at, value });
  if (rate === null) return [];
  return [...former.rates, { at, from: former.askedAt, value: rate }].slice(-MOST_RATES);
}

/**
 * What the server says of itself, looked at every few seconds while the page is seen. `figures`: whether its metrics
 * are asked for too, which not every key may see.
 */
export function useSystem(figures: boolean): SystemState {
  const [state, setState] = useState(UNKNOWN);
  useEffect(() => {
    const control = new AbortController();
    const { signal } = control;
    let asking = false;
    const look = async () => {
      if (asking || document.visibilityState !== "visible") return;
      asking = true;
      try {
        const [samples, health] = await Promise.all([
          figures ? readSamples(signal) : null,
          readHealth(signal),
        ]);
        const at = Date.now();
        setState((former) => {
          const rates = samples ? withRates(former, samples, at) : [];
          return { samples, health, rates, error: null, askedAt: at };
        });
      } catch (error) {
        if (!signal.aborted) setState((former) => ({ ...former, error }));
      }
      asking = false;
    };
    void look();
    const timer = window.setInterval(look, POLL_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      control.abort();
      window.clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [figures]);
  return state;
}
