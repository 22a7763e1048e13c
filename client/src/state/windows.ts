/**
 * What is asked for when a stretch is looked at. Not the stretch itself: a window around it, on a
 * grid, so that small moves need no new answer and the same place is found in the cache again.
 */
import { maxPointsFor } from "../charts/density";
import { bounded, panned, zoomed } from "../charts/motion";
import type { Span } from "../time/range";

const DAY_MS = 86_400_000;
const SECOND_MS = 1000;
/** A civil week with a change of time in it is still a week. */
const TOLERANCE = 0.02;
/** Windows begin on multiples of this part of their unit. */
const GRID = 0.25;
/** A picture whose margin is smaller than this part of the unit is replaced while it still covers. */
const MARGIN = 0.15;

export interface SeriesWindow {
  span: Span;
  /** Half of the span; views between it and the next shorter unit share it. */
  unitMs: number;
  maxPoints: number;
}

/** The unit of a view: a day times a power of the square root of two, not shorter than the view. */
export function unitFor(lengthMs: number): number {
  const halves = Math.ceil(2 * Math.log2(lengthMs / DAY_MS / (1 + TOLERANCE)));
  return Math.round((DAY_MS * 2 ** (halves / 2)) / SECOND_MS) * SECOND_MS;
}

export function windowFor(view: Span, width: number): SeriesWindow {
  const unitMs = unitFor(view.end - view.start);
  const grid = Math.ceil((unitMs * GRID) / SECOND_MS) * SECOND_MS;
  const middle = Math.round((view.start + view.end) / 2 / grid) * grid;
  const span = { start: Math.max(0, middle - unitMs), end: middle + unitMs };
  return { span, unitMs, maxPoints: maxPointsFor(width, span.end - span.start, unitMs) };
}

/** Whether a window shows all of a view that can hold readings. */
export function covers(window: Span, view: Span, latest: number): boolean {
  return window.start <= Math.max(0, view.start) && window.end >= Math.min(view.end, latest);
}

/** Whether it is time to ask for the next window, though this one still covers the view. */
export function nearEdge(window: SeriesWindow, view: Span, latest: number): boolean {
  const margin = MARGIN * window.unitMs;
  return !covers(window.span, { start: view.start - margin, end: view.end + margin }, latest);
}

/** Where the reader may go next: aside, closer, further out. */
export function neighbours(view: Span, latest: number): Span[] {
  const length = view.end - view.start;
  return [
    zoomed(view, 0.5, 0.5, latest),
    panned(view, -length / 2, latest),
    panned(view, length / 2, latest),
    zoomed(view, 2, 0.5, latest),
  ].map((span) => bounded(span, latest));
}
