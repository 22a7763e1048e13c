import { useMemo } from "react";
import { type PersonZones, restingDays, zonesOf } from "../charts/layers";
import type { Layers } from "../charts/scene";
import { methodOf, type ZoneRule } from "../charts/zones";
import { instantText, overlapOf, type Span } from "../time/range";
import { useAnswer } from "./useAnswer";
import { windowFor } from "./windows";

/** Bounds of zones hardly move within so long, and each day costs the server all of its readings. */
const DAYS_OF_BOUNDS_MS = 31 * 86_400_000;

export interface LayersState {
  layers: Layers;
  /** Whose zones are drawn. */
  zones: PersonZones | null;
  /** How the drawn zones were made, or those that were sought in vain; null: a source states them. */
  rule: ZoneRule | null;
  /** The rule that was asked for. */
  asked: ZoneRule | null;
  /** Whether it is known that there are no zones to draw. */
  noZones: boolean;
  error: unknown;
}

export interface LayersWanted {
  /** Whose lines are seen. */
  people: readonly string[];
  resting: boolean;
  zones: boolean;
  /** null: zones as sources state them, and by age where none does. */
  rule: ZoneRule | null;
  view: Span;
  extent: Span | null;
  zone: string;
  zoneOf: (userId: string) => string;
}

/** The chart's layers out of daily summaries, asked for when one of them is wanted. */
export function useLayers(wanted: LayersWanted): LayersState {
  const { people, resting, zones, rule, view, extent, zone, zoneOf } = wanted;
  const window = windowFor(view, 0).span;
  const subject = JSON.stringify([people, zone]);
  const questionOf = (span: Span) => ({
    metric: ["activities_heart_summary" as const],
    user_ids: [...people],
    start_date: instantText(span.start),
    end_date: instantText(span.end),
    tz: zone,
  });
  const path = "/v1/multi-user/timeseries" as const;
  const needed = people.length > 0 && (resting || (zones && rule === null));
  const stated = useAnswer(needed ? { path, query: questionOf(window), subject } : null);

  const ofSource = useMemo(() => {
    return zones && rule === null && stated.answer ? zonesOf(stated.answer, people, null) : null;
  }, [zones, rule, stated.answer, people]);
  const fallsBack = zones && rule === null && stated.answer !== null && ofSource === null;
  const tried = fallsBack ? "age" : rule;
  const own = zones && people.length > 0 && tried !== null;
  const held = overlapOf(window, extent);
  const latest = { start: Math.max(held.start, held.end - DAYS_OF_BOUNDS_MS), end: held.end };
  const made = useAnswer(
    own
      ? { path, query: { ...questionOf(latest), zones: tried }, subject: `${subject} ${tried}` }
      : null,
  );

  // Another object is another picture, so it is made anew only where an answer is.
  const [answer, byRule] = [stated.answer, own ? made.answer : null];
  const settled = own && made.answer !== null && !made.loading;
  const error = stated.error ?? made.error;
  return useMemo(() => {
    const its = zones ? (ofSource ?? (byRule && zonesOf(byRule, people, methodOf(tried)))) : null;
    return {
      layers: {
        resting: resting && answer ? restingDays(answer, zoneOf) : [],
        zones: its?.zones ?? [],
        markers: [],
      },
      zones: its,
      rule: ofSource ? null : tried,
      asked: rule,
      noZones: zones && its === null && settled,
      error,
    };
  }, [answer, byRule, settled, error, people, tried, rule, zones, ofSource, resting, zoneOf]);
}
