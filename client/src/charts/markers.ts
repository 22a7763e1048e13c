/** What is marked on a person's chart beside the readings: notes, changes of device, connections, imports, raised
 * signals. */
import type { Span } from "../time/range";

export const MARKER_KINDS = ["note", "device", "source", "import", "signal"] as const;
export type MarkerKind = (typeof MARKER_KINDS)[number];

export interface Marker {
  id: string;
  kind: MarkerKind;
  start: number;
  /** Of a stretch; null for a moment. */
  end: number | null;
  text: string;
}

/** What is drawn of the markers, in pixels from the plot's left edge. */
export interface PlacedMarkers {
  /** Moments; `count` of one kind that stand too close to be told apart are one. */
  flags: { kind: MarkerKind; at: number; count: number }[];
  bands: { kind: MarkerKind; left: number; right: number }[];
}

/** Moments of a kind that are closer than this share a flag. */
const APART_PX = 11;
/** A stretch that would be narrower is still seen. */
const LEAST_BAND_PX = 3;
/** So far from a moment it is still pointed at. */
const REACH_PX = 6;

function isInView({ start, end }: Marker, span: Span): boolean {
  return end === null
    ? start >= span.start && start < span.end
    : start < span.end && end > span.start;
}

export function markersIn(markers: readonly Marker[], span: Span): Marker[] {
  return markers.filter((one) => isInView(one, span)).sort((a, b) => a.start - b.start);
}

export function placedMarkers(
  markers: readonly Marker[],
  span: Span,
  width: number,
): PlacedMarkers {
  const x = (instant: number) => ((instant - span.start) / (span.end - span.start)) * width;
  const placed: PlacedMarkers = { flags: [], bands: [] };
  const latest = new Map<MarkerKind, PlacedMarkers["flags"][number]>();
  for (const { kind, start, end } of markersIn(markers, span)) {
    if (end !== null) {
      const left = Math.max(0, x(start));
      const right = Math.min(width, Math.max(x(end), left + LEAST_BAND_PX));
      placed.bands.push({ kind, left, right });
      continue;
    }
    const at = x(start);
    const former = latest.get(kind);
    if (former && at - former.at < APART_PX) {
      former.count += 1;
      continue;
    }
    const flag = { kind, at, count: 1 };
    latest.set(kind, flag);
    placed.flags.push(flag);
  }
  return placed;
}

/** How long a time the reach of the pointer is, in a plot of this width. */
export function reachMs(span: Span, width: number): number {
  return ((span.end - span.start) * REACH_PX) / Math.max(1, width);
}

/** What is pointed at: moments within reach, the nearest first, then stretches around it, the shortest first. */
export function markersAt(markers: readonly Marker[], instant: number, reach: number): Marker[] {
  const distance = ({ start }: Marker) => Math.abs(start - instant);
  const length = ({ start, end }: Marker) => (end ?? start) - start;
  const moments = markers.filter((one) => one.end === null && distance(one) <= reach);
  const stretches = markers.filter(({ start, end }) => {
    return end !== null && start - reach <= instant && instant < end + reach;
  });
  return [
    ...moments.sort((a, b) => distance(a) - distance(b)),
    ...stretches.sort((a, b) => length(a) - length(b)),
  ];
}

/** Where the next marker of a view begins, before or after an instant; those without one begin at the view's ends. */
export function nextMarker(
  markers: readonly Marker[],
  instant: number | null,
  by: -1 | 1,
  view: Span,
): number | null {
  // A stretch that began before the view is met at its edge.
  const starts = markersIn(markers, view).map(({ start }) => Math.max(start, view.start));
  if (by > 0) return starts.find((at) => instant === null || at > instant) ?? null;
  return starts.findLast((at) => instant === null || at < instant) ?? null;
}

export type MarkerCommand = "next" | "former" | "add" | "open";

/** What a key on the chart does with markers; null when it is none of theirs. */
export function markerCommandOf(event: {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
}): MarkerCommand | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (event.key === "m") return "next";
  if (event.key === "M") return "former";
  if (event.key === "n" || event.key === "N") return "add";
  return event.key === "Enter" ? "open" : null;
}
