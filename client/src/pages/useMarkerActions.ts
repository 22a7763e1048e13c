/** What pointing, keys and buttons do with the marks on the chart of one person. */
import { useMemo, useState } from "react";
import { type Marker, type MarkerCommand, markersAt, nextMarker, reachMs } from "../charts/markers";
import { MARGIN } from "../charts/scene";
import { overlaps, type Span } from "../time/range";

export interface ChartMarks {
  markers: readonly Marker[];
  /** Whether notes may be added and changed. */
  mayWrite: boolean;
  /** Begins a note at an instant; null: over all that is shown. */
  onAdd: (at: number | null) => void;
  /** Opens a note by its id. */
  onOpen: (id: string) => void;
}

/** So far below the plot's top edge lie the shapes that can be clicked. */
const SHAPES_PX = 26;

export interface MarkerActions {
  /** What the cross-hair is at. */
  pointed: readonly Marker[];
  /** The time that was last clicked or moved to, if it is in view. */
  picked: number | null;
  onCommand: (command: MarkerCommand) => void;
  onTap: (instant: number, y: number) => void;
}

const NONE: readonly Marker[] = [];

/** `width` is that of the chart, in CSS pixels. `onInstant` moves the cross-hair, by a key. */
export function useMarkerActions(
  marks: ChartMarks | null,
  view: Span,
  width: number,
  instant: number | null,
  onInstant: (instant: number) => void,
): MarkerActions {
  const [tapped, setTapped] = useState<number | null>(null);
  const markers = marks?.markers ?? NONE;
  const reach = reachMs(view, width - MARGIN.left - MARGIN.right);
  const pointed = useMemo(() => {
    return instant === null ? NONE : markersAt(markers, instant, reach);
  }, [markers, instant, reach]);
  const picked =
    tapped !== null && overlaps({ start: tapped, end: tapped + 1 }, view) ? tapped : null;
  const open = (at: readonly Marker[]) => {
    const note = at.find(({ kind }) => kind === "note");
    if (note) marks?.onOpen(note.id);
  };
  return {
    pointed,
    picked,
    onCommand: (command) => {
      if (command === "add") marks?.onAdd(instant ?? picked);
      else if (command === "open") open(pointed);
      else {
        const next = nextMarker(markers, instant, command === "next" ? 1 : -1, view);
        if (next !== null) onInstant(next);
      }
    },
    onTap: (at, y) => {
      setTapped(at);
      if (y < MARGIN.top + SHAPES_PX) open(markersAt(markers, at, reach));
    },
  };
}
