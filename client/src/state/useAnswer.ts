import { useCallback, useEffect, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { AnswerOf, GetPath, QueryOf } from "../api/types";

export interface Answer<A> {
  /** The latest answer; it stays until the next one is there, unless it is about something else. */
  answer: A | null;
  loading: boolean;
  error: unknown;
  retry: () => void;
}

export interface Ask<P extends GetPath> {
  path: P;
  query: QueryOf<P>;
  /** What stands for `{…}` in the path. */
  inPath?: Record<string, string>;
  /** Whom or what it is about: another subject's answer does not stay. */
  subject: string;
  /** Another number asks the same again. */
  again?: number;
}

interface Settled<A> {
  key: string;
  subject: string;
  answer: A | null;
  error: unknown;
}

/** Asks whenever the question changes; null asks nothing. Whoever leaves takes the question back. */
export function useAnswer<P extends GetPath>(ask: Ask<P> | null): Answer<AnswerOf<P>> {
  const [settled, setSettled] = useState<Settled<AnswerOf<P>> | null>(null);
  const [attempt, setAttempt] = useState(0);
  const key = ask && `${attempt} ${JSON.stringify(ask)}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies: `key` stands for all of `ask`.
  useEffect(() => {
    if (!ask || !key) return;
    const control = new AbortController();
    const { subject } = ask;
    get(ask.path, ask.query, control.signal, ask.inPath)
      .then((answer) => setSettled({ key, subject, answer, error: null }))
      .catch((error: unknown) => {
        if (control.signal.aborted || isAbort(error)) return;
        setSettled((former) => {
          const kept = former?.subject === subject ? former.answer : null;
          return { key, subject, answer: kept, error };
        });
      });
    return () => control.abort();
  }, [key]);

  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  const same = settled !== null && settled.subject === ask?.subject;
  const loading = key !== null && settled?.key !== key;
  return {
    answer: same ? settled.answer : null,
    error: same && !loading ? settled.error : null,
    loading,
    retry,
  };
}
