/** What keys, buttons and gestures do to the chart and to the page's address. */
import { useEffect, useRef } from "react";
import { type Command, panned, settled, zoomed } from "../charts/motion";
import type { Track } from "../charts/tracks";
import { lowerBound } from "../charts/tracks";
import type { Page } from "../state/usePage";
import { goTo, panTo, zoomOut, zoomTo } from "../state/useView";
import type { Span } from "../time/range";

/** Keys that follow each other within this are one step in the history. */
const KEY_REST_MS = 300;
/** Lengths that differ by less are the same: a gesture that only moved. */
const SAME_LENGTH = 0.01;

/** Puts where a gesture ended into the address: closer can be left again, aside keeps the way out. */
function rest({ series, choiceOf }: Page, ended: Span, from: Span): void {
  const { viewport } = series;
  const span = settled(ended);
  const change = (span.end - span.start) / (from.end - from.start) - 1;
  viewport.rest(span);
  if (change < -SAME_LENGTH) zoomTo(choiceOf(span));
  else if (change > SAME_LENGTH) goTo({ range: choiceOf(span) });
  else panTo(choiceOf(span));
}

/** The point beside the cross-hair, or the first in view. */
function nextPoint(track: Track | undefined, instant: number | null, by: -1 | 1, view: Span) {
  if (!track || track.x.length === 0) return null;
  const { x } = track;
  if (instant === null) return x[lowerBound(x, view.start)] ?? null;
  const at = lowerBound(x, instant);
  const exact = x[at] === instant;
  return x[by < 0 ? at - 1 : exact ? at + 1 : at] ?? instant;
}

export interface ChartActions {
  onRest: (span: Span, from: Span) => void;
  onMarked: (span: Span) => void;
  onOut: () => void;
  onCommand: (command: Command) => void;
}

export function useChartActions(
  page: Page,
  tracks: readonly Track[],
  instant: number | null,
  onInstant: (instant: number | null) => void,
): ChartActions {
  const { latest, extent, series, choiceOf } = page;
  const { viewport } = series;
  const timer = useRef(0);
  const origin = useRef<Span | null>(null);
  useEffect(() => () => window.clearTimeout(timer.current), []);

  const onOut = () => zoomOut(choiceOf(settled(zoomed(viewport.span, 2, 0.5, latest))));
  const moveTo = (span: Span) => {
    origin.current ??= viewport.span;
    viewport.move(span);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      const from = origin.current ?? span;
      origin.current = null;
      rest(page, viewport.span, from);
    }, KEY_REST_MS);
  };

  const onCommand = (command: Command) => {
    const view = viewport.span;
    const length = view.end - view.start;
    if (command.kind === "pan") moveTo(panned(view, command.fraction * length, latest));
    else if (command.kind === "zoom") {
      const at = instant === null ? 0.5 : (instant - view.start) / length;
      moveTo(zoomed(view, command.factor, at >= 0 && at <= 1 ? at : 0.5, latest));
    } else if (command.kind === "point") {
      const next = nextPoint(tracks[0], instant, command.by, view);
      onInstant(next);
      // The cross-hair takes the view along.
      if (next !== null && next < view.start) moveTo(panned(view, -length / 2, latest));
      if (next !== null && next >= view.end) moveTo(panned(view, length / 2, latest));
    } else if (command.kind === "all") goTo({ range: { kind: "preset", preset: "all" } });
    else if (command.kind === "out") onOut();
    else if (command.kind === "last") {
      moveTo(panned(view, (extent?.end ?? latest) - view.end, latest));
    } else if (extent) {
      // Before the extent is there, nobody knows where the history begins.
      moveTo(panned(view, extent.start - view.start, latest));
    }
  };
  const onRest = (span: Span, from: Span) => rest(page, span, from);
  const onMarked = (span: Span) => zoomTo(choiceOf(settled(span)));
  return { onRest, onMarked, onOut, onCommand };
}
