/** What is noted about a person in the range, and the way to note more. */
import { type RefObject, useRef, useState } from "react";
import type { Note } from "../../api/types";
import { clockLabel, dateLabel, spanLabel } from "../../charts/labels";
import { Card, Skeleton } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { countLabel } from "../../figures/words";
import { lacks, useAccess } from "../../state/useAccess";
import { type Markers, useMarkers } from "../../state/useMarkers";
import type { Page } from "../../state/usePage";
import { zoomTo } from "../../state/useView";
import { instantText } from "../../time/range";
import type { ChartMarks } from "../useMarkerActions";
import type { Drafted } from "./NoteDialog";

/** So much is shown around a moment that is gone to. */
const AROUND_MS = 30 * 60_000;
/** A list shows so many; the range can be made shorter. */
const MOST_NOTES = 30;

export interface Notes {
  markers: Markers;
  mayWrite: boolean;
  drafted: Drafted | null;
  /** Begins a note: at an instant, or over the shown range. */
  onAdd: (at: number | null) => void;
  onOpen: (note: Note) => void;
  onClose: (became: "kept" | "removed" | null) => void;
  /** The button of the card, which takes the focus when a note is gone. */
  adding: RefObject<HTMLButtonElement | null>;
  /** What the chart is told of all this. */
  forChart: ChartMarks;
}

/** Notes need a key that may write; others read them. */
export function useNotes(page: Page): Notes {
  const markers = useMarkers(page);
  const mayWrite = !lacks(useAccess(), "ingest");
  const [drafted, setDrafted] = useState<Drafted | null>(null);
  const adding = useRef<HTMLButtonElement>(null);
  const { start, end } = page.asked;
  const onAdd = (at: number | null) => {
    if (!mayWrite) return;
    // Pointing at a time is not that exact.
    const time = (instant: number) => instantText(Math.round(instant / 1000) * 1000);
    const span =
      at === null ? { start: time(start), end: time(end) } : { start: time(at), end: null };
    setDrafted({ annotation_id: null, text: "", ...span });
  };
  const onOpen = (note: Note) => mayWrite && setDrafted(note);
  return {
    markers,
    mayWrite,
    drafted,
    onAdd,
    onOpen,
    adding,
    onClose: (became) => {
      setDrafted(null);
      if (became !== null) markers.again();
      if (became === "removed") adding.current?.focus();
    },
    forChart: {
      markers: markers.markers,
      mayWrite,
      onAdd,
      onOpen: (id) => {
        const note = markers.notes.find((one) => one.annotation_id === id);
        if (note) onOpen(note);
      },
    },
  };
}

function when({ start, end }: Note, zone: string): string {
  const [from, to] = [Date.parse(start), end && Date.parse(end)];
  if (typeof to === "number") return spanLabel({ start: from, end: to }, zone);
  return `${dateLabel(from, zone)}, ${clockLabel(from, zone)}`;
}

export function NotesCard({ notes, page }: { notes: Notes; page: Page }) {
  const { markers, mayWrite, onAdd, onOpen, adding } = notes;
  const { zone } = page;
  const shown = markers.notes.slice(0, MOST_NOTES);
  const show = ({ start, end }: Note) => {
    const [from, to] = [Date.parse(start), Date.parse(end ?? start)];
    const margin = end === null ? AROUND_MS : (to - from) / 2;
    zoomTo({ kind: "span", span: { start: Math.max(0, from - margin), end: to + margin } });
  };
  const add = mayWrite && (
    <button ref={adding} type="button" className="button button-small" onClick={() => onAdd(null)}>
      Add a note
    </button>
  );
  return (
    <Card title="Notes" note={add}>
      {markers.error !== null && <ErrorNotice error={markers.error} onRetry={markers.again} />}
      {!markers.known && markers.error === null && <Skeleton />}
      {markers.known && shown.length === 0 && (
        <p className="faint empty">Nothing is noted in this range.</p>
      )}
      <ul className="rows rows-tall">
        {shown.map((note) => (
          <li key={note.annotation_id}>
            <div>
              <button type="button" className="link" onClick={() => show(note)}>
                {when(note, zone)}
              </button>
              <p className="note-text">{note.text}</p>
            </div>
            {mayWrite && (
              <button
                type="button"
                className="button button-small"
                aria-label={`Change the note of ${when(note, zone)}`}
                onClick={() => onOpen(note)}
              >
                Change
              </button>
            )}
          </li>
        ))}
      </ul>
      {markers.notes.length > shown.length && (
        <p className="faint">
          The first {MOST_NOTES} of {countLabel(markers.notes.length)} in this range.
        </p>
      )}
    </Card>
  );
}
