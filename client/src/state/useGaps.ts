/** Stretches without readings: from minutes wherever a range allows, and never from what fits a screen. */
import { useEffect, useState } from "react";
import { isAbort } from "../api/errors";
import { type Gaps, gapRung, gapsOf } from "../figures/gaps";
import { overlapOf, type Span } from "../time/range";
import { fetchPicture } from "./fetchPicture";
import { unitFor } from "./windows";

export interface GapsState {
  gaps: Gaps | null;
  loading: boolean;
  error: unknown;
}

interface Wanted {
  userId: string;
  zone: string;
  span: Span;
}

async function findGaps({ userId, zone, span }: Wanted, signal: AbortSignal): Promise<Gaps> {
  const interval = gapRung(span.end - span.start);
  const subject = { people: [userId], zone, clocks: null, metric: null, interval, width: 0 };
  const window = { span, unitMs: unitFor(span.end - span.start), maxPoints: 0 };
  const { tracks } = await fetchPicture(subject, window, signal, "low");
  const track = tracks[0];
  const held = overlapOf(span, { start: 0, end: Date.now() });
  const points = track ?? { from: [], to: [] };
  return { interval, found: gapsOf(points, held, track?.bridgeMs ?? 0) };
}

/** Asks once the page has nothing more urgent to ask; null asks for nothing. */
export function useGaps(wanted: Wanted | null): GapsState {
  const [settled, setSettled] = useState<{ key: string; gaps: Gaps | null; error: unknown }>();
  const key = JSON.stringify(wanted);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for the question.
  useEffect(() => {
    if (!wanted) return;
    const control = new AbortController();
    findGaps(wanted, control.signal)
      .then((gaps) => setSettled({ key, gaps, error: null }))
      .catch((error: unknown) => {
        if (!control.signal.aborted && !isAbort(error)) setSettled({ key, gaps: null, error });
      });
    return () => control.abort();
  }, [key]);
  const there = settled?.key === key;
  return {
    gaps: there ? settled.gaps : null,
    loading: wanted !== null && !there,
    error: there ? settled.error : null,
  };
}
