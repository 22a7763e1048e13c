import { useCallback, useEffect, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import { type Track, toTrack } from "../charts/tracks";
import type { Span } from "./range";
import { instantText } from "./url";

export interface Question {
  people: readonly string[];
  span: Span;
  zone: string;
  maxPoints: number;
}

/** One answer, and what was asked for. */
export interface Picture {
  question: Question;
  tracks: Track[];
  interval: string;
  table: string;
  unit: string;
  points: number;
  missing: string[];
  askedAt: number;
}

export interface SeriesState {
  /** The latest answer; it stays until the next one is there. */
  picture: Picture | null;
  loading: boolean;
  error: unknown;
  retry: () => void;
}

async function ask(question: Question, signal: AbortSignal): Promise<Picture> {
  const { people, span, zone, maxPoints } = question;
  const query = {
    start_date: instantText(span.start),
    end_date: instantText(span.end),
    user_ids: [...people],
    max_points: maxPoints,
    tz: zone,
  };
  const askedAt = Date.now();
  const answer = await get("/v1/multi-user/timeseries", query, signal);
  const order = (id: string) => people.indexOf(id);
  const series = [...answer.series].sort((a, b) => order(a.user_id) - order(b.user_id));
  return {
    question,
    tracks: series.map((one) => toTrack(one, answer.interval, zone, span)),
    interval: answer.interval,
    table: answer.table,
    unit: answer.unit,
    points: series.reduce((sum, one) => sum + one.count, 0),
    missing: answer.missing,
    askedAt,
  };
}

/** Asks whenever the question changes; an answer that comes after its question went is dropped. */
export function useSeries(question: Question | null): SeriesState {
  const [picture, setPicture] = useState<Picture | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [answered, setAnswered] = useState<Question | null>(null);
  const [attempt, setAttempt] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` asks the same once more.
  useEffect(() => {
    setError(null);
    if (!question) {
      setPicture(null);
      return;
    }
    const control = new AbortController();
    ask(question, control.signal)
      .then((next) => {
        if (!control.signal.aborted) setPicture(next);
      })
      .catch((failure: unknown) => {
        if (!control.signal.aborted && !isAbort(failure)) setError(failure);
      })
      .finally(() => {
        if (!control.signal.aborted) setAnswered(question);
      });
    return () => control.abort();
  }, [question, attempt]);

  const retry = useCallback(() => {
    setAnswered(null);
    setAttempt((count) => count + 1);
  }, []);
  return { picture, error, loading: question !== null && answered !== question, retry };
}
