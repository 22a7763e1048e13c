/** The marks of the chart of one person, and the person's notes in its range. */
import { useCallback, useMemo, useState } from "react";
import type { Note } from "../api/types";
import { type Marker, markersIn } from "../charts/markers";
import { lowerBound } from "../charts/tracks";
import {
  changeMarkers,
  deviceMarkers,
  importMarkers,
  mayChange,
  noteMarkers,
  signalMarkers,
  sourceMarkers,
} from "../figures/markers";
import { instantText, type Span } from "../time/range";
import { sourceName } from "./sources";
import { useAnswer } from "./useAnswer";
import type { Page } from "./usePage";
import { windowFor } from "./windows";

/** Over windows of up to so long, devices are told by minutes; over longer ones by their first and last readings. */
const MOST_BY_MINUTE_MS = 2.1 * 86_400_000;
/** So often it is asked which signals are raised. */
const SIGNALS_MS = 60_000;

const NONE: readonly never[] = [];

export interface Markers {
  /** Of the kinds that are shown, of the range and around it. */
  markers: readonly Marker[];
  /** The person's notes in the range, the earliest first. */
  notes: readonly Note[];
  /** Whether the notes were answered. */
  known: boolean;
  error: unknown;
  /** Asks for the notes again, after one of them was changed. */
  again: () => void;
}

/** Asked for once the chart has its picture. */
export function useMarkers(page: Page): Markers {
  const { people, recordOf, asked, answerable, subject, chart, series, zone, now } = page;
  const [count, setCount] = useState(0);
  const again = useCallback(() => setCount((former) => former + 1), []);
  const [userId = ""] = people;
  // Where the chart asks for nothing, as over daily summaries, nothing has to be waited for.
  const first = answerable && (subject === null || series.picture !== null);
  const ready = first && recordOf(userId) !== null;
  const shows = (kind: Marker["kind"]) => ready && chart.marks.includes(kind);
  const window = windowFor(asked, 0).span;
  const about = { inPath: { user_id: userId }, subject: userId };
  const bounds = { start: instantText(window.start), end: instantText(window.end) };

  const notes = useAnswer(
    ready
      ? { path: "/v1/users/{user_id}/annotations", query: bounds, ...about, again: count }
      : null,
  );
  const devices = useAnswer(
    shows("device") ? { path: "/v1/users/{user_id}/devices", query: {}, ...about } : null,
  );
  const byMinute = window.end - window.start <= MOST_BY_MINUTE_MS;
  const measured = series.picture?.tracks.some((track) => hasReadings(track.from, asked));
  const differ = mayChange(devices.answer?.data ?? NONE, window.start, window.end);
  const minutes = useAnswer(
    shows("device") && byMinute && measured && differ
      ? { path: "/v1/metrics/heart-rate", query: { user_id: userId, ...bounds }, subject: userId }
      : null,
  );
  const sources = useAnswer(
    shows("source") ? { path: "/v1/users/{user_id}/sources", query: {}, ...about } : null,
  );
  const origins = useAnswer(
    shows("import") ? { path: "/v1/users/{user_id}/origins", query: {}, ...about } : null,
  );
  const signals = useAnswer(
    shows("signal")
      ? {
          path: "/v1/signals",
          query: {},
          subject: "signals",
          again: Math.floor(now / SIGNALS_MS),
        }
      : null,
  );

  const noted = notes.answer?.data ?? NONE;
  const worn = devices.answer?.data ?? NONE;
  const kinds = chart.marks;
  const markers = useMemo(() => {
    const all = [
      ...noteMarkers(noted),
      ...(minutes.answer ? changeMarkers(minutes.answer.data) : deviceMarkers(worn)),
      ...sourceMarkers(sources.answer?.data ?? NONE, sourceName),
      ...importMarkers(origins.answer?.data ?? NONE, zone),
      ...signalMarkers(signals.answer?.data ?? NONE, userId, now),
    ];
    return all.filter(({ kind }) => kinds.includes(kind)).sort((a, b) => a.start - b.start);
  }, [
    noted,
    worn,
    minutes.answer,
    sources.answer,
    origins.answer,
    signals.answer,
    userId,
    zone,
    now,
    kinds,
  ]);
  const inRange = useMemo(() => {
    const byId = new Map(noted.map((note) => [note.annotation_id, note]));
    return markersIn(noteMarkers(noted), asked).flatMap(({ id }) => byId.get(id) ?? []);
  }, [noted, asked]);
  const failed = [notes, devices, minutes, sources, origins, signals].find(
    ({ error }) => error !== null,
  );
  return {
    markers,
    notes: inRange,
    known: notes.answer !== null,
    error: failed?.error ?? null,
    again,
  };
}

function hasReadings(from: Float64Array, { start, end }: Span): boolean {
  return (from[lowerBound(from, start)] ?? end) < end;
}
