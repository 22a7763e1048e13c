/** The overview strip: a whole history in small, and what part of it is in view. */
import type { Span } from "../time/range";
import type { Grip } from "./motion";
import { xOf } from "./scene";

/** The window is never narrower than this, in CSS pixels, so that it can be seen and taken hold of. */
const LEAST_WINDOW_PX = 8;
/** So far from an edge a finger still takes hold of it, in CSS pixels. */
const EDGE_PX = 7;

export interface BrushWindow {
  left: number;
  width: number;
}

export function windowOf(view: Span, whole: Span, width: number): BrushWindow {
  const left = Math.max(0, Math.min(width, xOf(view.start, whole, width)));
  const right = Math.max(0, Math.min(width, xOf(view.end, whole, width)));
  const wide = Math.max(right - left, LEAST_WINDOW_PX);
  const middle = (left + right) / 2;
  return { left: Math.max(0, Math.min(width - wide, middle - wide / 2)), width: wide };
}

/** What is taken hold of at a place; null off the window. A narrow one has its edges outside. */
export function gripAt(x: number, window: BrushWindow): Grip | null {
  const beforeLeft = window.left - x;
  const beyondRight = x - window.left - window.width;
  const reach = window.width < 4 * EDGE_PX ? 0 : -EDGE_PX;
  if (beforeLeft > EDGE_PX || beyondRight > EDGE_PX) return null;
  if (beforeLeft > reach) return "start";
  if (beyondRight > reach) return "end";
  return "middle";
}

/** The whole history, widened to what is in view. */
export function wholeOf(extent: Span | null, view: Span): Span {
  if (!extent) return view;
  return { start: Math.min(extent.start, view.start), end: Math.max(extent.end, view.end) };
}
