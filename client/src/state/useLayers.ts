import { useEffect, useMemo, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { MultiSeries } from "../api/types";
import { type PersonZones, restingDays, zonesOf } from "../charts/layers";
import { type Layers, NO_LAYERS } from "../charts/scene";
import type { Span } from "../time/range";
import { instantText } from "../time/range";
import { covers, windowFor } from "./windows";

interface Summaries {
  key: string;
  span: Span;
  answer: MultiSeries;
}

export interface LayersState {
  layers: Layers;
  /** Whose zones are drawn. */
  zones: PersonZones | null;
  error: unknown;
}

export interface LayersWanted {
  /** Whose lines are seen. */
  people: readonly string[];
  resting: boolean;
  zones: boolean;
  view: Span;
  zone: string;
  zoneOf: (userId: string) => string;
  latest: number;
}

/** The chart's layers out of daily summaries, asked for when one of them is wanted. */
export function useLayers(wanted: LayersWanted): LayersState {
  const { people, resting, zones, view, zone, zoneOf, latest } = wanted;
  const [found, setFound] = useState<Summaries | null>(null);
  const [error, setError] = useState<unknown>(null);
  const needed = (resting || zones) && people.length > 0;
  const key = JSON.stringify([people, zone]);
  const there = found?.key === key && covers(found.span, view, latest);
  const { start, end } = windowFor(view, 0).span;

  useEffect(() => {
    if (!needed || there) return;
    const control = new AbortController();
    const query = {
      metric: ["activities_heart_summary"],
      start_date: instantText(start),
      end_date: instantText(end),
      user_ids: [...people],
      tz: zone,
    };
    get("/v1/multi-user/timeseries", query, control.signal)
      .then((answer) => {
        setFound({ key, span: { start, end }, answer });
        setError(null);
      })
      .catch((failure: unknown) => {
        if (!isAbort(failure)) setError(failure);
      });
    return () => control.abort();
  }, [needed, there, key, start, end, people, zone]);

  return useMemo(() => {
    const answer = needed && found?.key === key ? found.answer : null;
    if (!answer) return { layers: NO_LAYERS, zones: null, error: needed ? error : null };
    const its = zones ? zonesOf(answer, people) : null;
    const days = resting ? restingDays(answer, zoneOf) : NO_LAYERS.resting;
    return { layers: { resting: days, zones: its?.zones ?? [] }, zones: its, error };
  }, [needed, found, key, error, zones, resting, people, zoneOf]);
}
