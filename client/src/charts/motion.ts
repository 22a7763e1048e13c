/** What a gesture makes of the span in view: pure, so that every way of moving keeps the same bounds. */
import { MIN_SPAN_MS, type Span } from "../time/range";

/** Keeps a span between 1970 and `latest`, and no narrower than the narrowest view. */
export function bounded(span: Span, latest: number): Span {
  const length = Math.min(Math.max(span.end - span.start, MIN_SPAN_MS), latest);
  const start = Math.max(0, Math.min(span.start, latest - length));
  return { start, end: start + length };
}

export function panned(span: Span, byMs: number, latest: number): Span {
  return bounded({ start: span.start + byMs, end: span.end + byMs }, latest);
}

/** Scaled so that the instant at a fraction of the span stays where it is. */
export function zoomed(span: Span, factor: number, fraction: number, latest: number): Span {
  const length = span.end - span.start;
  const anchor = span.start + fraction * length;
  const wanted = Math.max(length * factor, MIN_SPAN_MS);
  const start = anchor - fraction * wanted;
  return bounded({ start, end: start + wanted }, latest);
}

/** Two places on the chart, as fractions of its width. */
export type Fingers = readonly [number, number];
/** Fingers closer than this give no measure of a stretch. */
const LEAST_STRETCH = 0.02;

/** Both instants under the fingers stay under them: fingers apart show less, both aside move. */
export function pinched(from: Span, before: Fingers, after: Fingers, latest: number): Span {
  const apart = (fingers: Fingers) => Math.max(Math.abs(fingers[1] - fingers[0]), LEAST_STRETCH);
  const centre = (fingers: Fingers) => (fingers[0] + fingers[1]) / 2;
  const length = from.end - from.start;
  const wanted = Math.max((length * apart(before)) / apart(after), MIN_SPAN_MS);
  const anchor = from.start + centre(before) * length;
  const start = anchor - centre(after) * wanted;
  return bounded({ start, end: start + wanted }, latest);
}

/** A notch of a common wheel is 100 pixels of scrolling. */
const NOTCH_PX = 100;
const FACTOR_PER_NOTCH = 1.25;
/** A wheel that reports lines or pages instead of pixels. */
const PX_PER_UNIT = [1, 16, 400];
/** One event never changes more than this, however hard a wheel was spun. */
const MOST_NOTCHES = 4;

/** How much more (over 1) or less a turn of the wheel shows. */
export function wheelFactor(delta: number, deltaMode: number): number {
  const notches = (delta * (PX_PER_UNIT[deltaMode] ?? 1)) / NOTCH_PX;
  return FACTOR_PER_NOTCH ** Math.max(-MOST_NOTCHES, Math.min(MOST_NOTCHES, notches));
}

export type Command =
  | { kind: "pan"; fraction: number }
  | { kind: "zoom"; factor: number }
  | { kind: "point"; by: -1 | 1 }
  | { kind: "first" | "last" | "all" | "out" };

/** What a key on the chart does; null when it is none of the chart's. */
export function commandOf(event: {
  key: string;
  shiftKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}): Command | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const step = event.shiftKey ? 0.5 : 0.1;
  switch (event.key) {
    case "ArrowLeft":
      return { kind: "pan", fraction: -step };
    case "ArrowRight":
      return { kind: "pan", fraction: step };
    case "PageUp":
      return { kind: "pan", fraction: -1 };
    case "PageDown":
      return { kind: "pan", fraction: 1 };
    case "ArrowUp":
    case "+":
    case "=":
      return { kind: "zoom", factor: 0.5 };
    case "ArrowDown":
    case "-":
    case "_":
      return { kind: "zoom", factor: 2 };
    case ",":
    case "<":
      return { kind: "point", by: -1 };
    case ".":
    case ">":
      return { kind: "point", by: 1 };
    case "Home":
      return { kind: "first" };
    case "End":
      return { kind: "last" };
    case "0":
      return { kind: "all" };
    case "Escape":
      return { kind: "out" };
    default:
      return null;
  }
}

export type Grip = "start" | "end" | "middle";

/** The overview's window moved or resized by a grip; edges do not pass each other. */
export function brushed(span: Span, grip: Grip, byMs: number, latest: number): Span {
  if (grip === "middle") return panned(span, byMs, latest);
  if (grip === "start") {
    const start = Math.max(0, Math.min(span.start + byMs, span.end - MIN_SPAN_MS));
    return { start, end: span.end };
  }
  const end = Math.min(latest, Math.max(span.end + byMs, span.start + MIN_SPAN_MS));
  return { start: span.start, end };
}

/** A thousandth of a view cannot be seen; a view's ends are rounded to no more than that. */
const SEEN_PART = 1000;

/** A view at rest, on round instants: whole seconds, finer only where seconds can be seen. */
export function settled(span: Span): Span {
  const length = span.end - span.start;
  const step = 10 ** Math.max(0, Math.min(3, Math.floor(Math.log10(length / SEEN_PART))));
  const start = Math.round(span.start / step) * step;
  return { start, end: start + Math.max(MIN_SPAN_MS, Math.round(length / step) * step) };
}
