/** A note that is being written or changed. */
import { type FormEvent, useEffect, useId, useRef, useState } from "react";
import type { Note } from "../../api/types";
import { ConfirmButton } from "../../components/ConfirmButton";
import { ErrorNotice } from "../../components/ErrorNotice";
import { FieldProblem } from "../../components/FieldProblem";
import { keepNote, type NoteFields, removeNote } from "../../state/notes";
import { useChange } from "../../state/useChange";
import { instantText } from "../../time/range";
import { fromWall, toWall } from "../../time/zone";

const MOST_CHARACTERS = 2000;

/** A note that is there, or a new one, which has no id yet. */
export type Drafted = Omit<Note, "annotation_id"> & { annotation_id: string | null };

interface Draft {
  start: string;
  end: string;
  stretch: boolean;
  text: string;
}

function draftOf({ start, end, text }: Drafted, zone: string): Draft {
  const shown = (time: string) => toWall(Date.parse(time), zone);
  return { start: shown(start), end: shown(end ?? start), stretch: end !== null, text };
}

/** What is to be kept, or what is wrong with it. */
function readDraft(draft: Draft, of: Drafted, zone: string): NoteFields | string {
  const shown = draftOf(of, zone);
  // A field shows whole seconds, and not which of two equal hours it is: a time that nobody changed stays as it is.
  const timeOf = (name: "start" | "end") => {
    if (draft[name] === shown[name] && of[name] !== null) return of[name];
    const instant = fromWall(draft[name], zone);
    return instant === null ? null : instantText(instant);
  };
  const start = timeOf("start");
  const end = draft.stretch ? timeOf("end") : null;
  const text = draft.text.trim();
  if (text === "") return "The note needs a text.";
  if (start === null) return "The note needs a date and a time.";
  if (draft.stretch && end === null) return "The end needs a date and a time.";
  if (end !== null && Date.parse(end) <= Date.parse(start)) {
    return "The end must lie after the start.";
  }
  return { start, end, text };
}

export function NoteDialog(props: {
  userId: string;
  name: string;
  drafted: Drafted;
  zone: string;
  /** Told once it is closed; `became` says what the server has done, null: nothing. */
  onClose: (became: "kept" | "removed" | null) => void;
}) {
  const { userId, name, drafted, zone, onClose } = props;
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  const text = useRef<HTMLTextAreaElement>(null);
  const became = useRef<"kept" | "removed" | null>(null);
  const [draft, setDraft] = useState(() => draftOf(drafted, zone));
  const [problem, setProblem] = useState<string | null>(null);
  const { busy, error, run } = useChange();
  const number = drafted.annotation_id;
  useEffect(() => {
    // In the browser's top layer: what lies below cannot be reached, and gets the focus back in the end.
    dialog.current?.showModal();
    text.current?.focus();
  }, []);

  const done = (what: "kept" | "removed") => {
    became.current = what;
    dialog.current?.close();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const read = readDraft(draft, drafted, zone);
    setProblem(typeof read === "string" ? read : null);
    if (typeof read === "string") return;
    run((signal) => keepNote(userId, number, read, signal).then(() => done("kept")));
  };
  const described = problem ? `${id}-problem` : undefined;
  const time = (which: "start" | "end", label: string) => (
    <label className="note-time">
      <span className="field-label">{label}</span>
      <input
        className="field"
        type="datetime-local"
        step={1}
        value={draft[which]}
        aria-describedby={described}
        onChange={(event) => setDraft({ ...draft, [which]: event.target.value })}
      />
    </label>
  );
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={`${id}-title`}
      onClose={() => onClose(became.current)}
    >
      <form className="note-form" onSubmit={submit} noValidate>
        <h2 id={`${id}-title`}>
          {number === null ? "Add a note about" : "Change a note about"} {name}
        </h2>
        <label>
          <span className="field-label">Text</span>
          <textarea
            ref={text}
            className="field"
            rows={4}
            maxLength={MOST_CHARACTERS}
            value={draft.text}
            aria-describedby={described}
            aria-invalid={problem !== null}
            onChange={(event) => setDraft({ ...draft, text: event.target.value })}
          />
        </label>
        <div className="note-times">
          {time("start", draft.stretch ? "From" : "At")}
          {draft.stretch && time("end", "To")}
        </div>
        <label className="choice">
          <input
            type="checkbox"
            checked={draft.stretch}
            onChange={(event) => setDraft({ ...draft, stretch: event.target.checked })}
          />
          A stretch of time
        </label>
        <p className="faint">Times are those of {zone.replaceAll("_", " ")}.</p>
        <FieldProblem id={`${id}-problem`} problem={problem} />
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
        <div className="dialog-foot">
          {number !== null && (
            <ConfirmButton
              label="Delete"
              confirm="Really delete"
              about="this note"
              disabled={busy}
              onConfirm={() =>
                run((signal) => removeNote(userId, number, signal).then(() => done("removed")))
              }
            />
          )}
          <button type="button" className="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" className="button button-main" disabled={busy}>
            Save
          </button>
        </div>
      </form>
    </dialog>
  );
}
