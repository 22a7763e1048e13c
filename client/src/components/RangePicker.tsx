import { type FormEvent, type KeyboardEvent, useId, useState } from "react";
import { spanLabel } from "../charts/labels";
import { PRESETS, type Preset, type PresetId, type RangeChoice, type Span } from "../time/range";
import { fromWall, toWall } from "../time/zone";
import { FieldProblem } from "./FieldProblem";

export interface RangePickerProps {
  choice: RangeChoice | null;
  span: Span;
  zone: string;
  /** Whether the typed range is folded away, where there is little room. */
  folded: boolean;
  onPreset: (preset: PresetId) => void;
  onSpan: (span: Span) => void;
}

export function Presets(
  props: Pick<RangePickerProps, "choice" | "onPreset"> & { presets: readonly Preset[] },
) {
  const { presets, choice, onPreset } = props;
  const active = choice?.kind === "preset" ? choice.preset : null;
  return (
    <fieldset className="presets">
      <legend className="visually-hidden">Range</legend>
      {presets.map((preset) => (
        <button
          key={preset.id}
          type="button"
          className="preset"
          aria-pressed={preset.id === active}
          onClick={() => onPreset(preset.id)}
        >
          {preset.label}
        </button>
      ))}
    </fieldset>
  );
}

/** In ranges longer than this, seconds are noise. */
const SECONDS_UP_TO_MS = 2 * 3_600_000;

interface Draft {
  start: string;
  end: string;
}

/** What is typed, as a span, or why it is none. */
function readDraft(draft: Draft, zone: string): Span | string {
  const start = fromWall(draft.start, zone);
  const end = fromWall(draft.end, zone);
  if (start === null || end === null) return "Both ends need a date and a time.";
  if (start < 0) return "There is nothing before 1970.";
  if (end <= start) return "The end must lie after the start.";
  return { start, end };
}

export function TypedRange({
  span,
  zone,
  onSpan,
}: Pick<RangePickerProps, "span" | "zone" | "onSpan">) {
  const id = useId();
  const [draft, setDraft] = useState<Draft | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const seconds = span.end - span.start <= SECONDS_UP_TO_MS;
  const wall = (instant: number) => toWall(instant, zone).slice(0, seconds ? 19 : 16);
  const shown = draft ?? { start: wall(span.start), end: wall(span.end) };

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const read = readDraft(shown, zone);
    if (typeof read === "string") {
      setProblem(read);
      return;
    }
    setProblem(null);
    setDraft(null);
    if (draft) onSpan(read);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    setDraft(null);
    setProblem(null);
  };
  const input = (end: keyof Draft, label: string) => (
    <div className="range-end">
      <label className="field-label" htmlFor={`${id}-${end}`}>
        {label}
      </label>
      <input
        id={`${id}-${end}`}
        className="field"
        type="datetime-local"
        step={seconds ? 1 : 60}
        value={shown[end]}
        aria-describedby={problem ? `${id}-problem` : undefined}
        aria-invalid={problem !== null}
        onChange={(event) => setDraft({ ...shown, [end]: event.target.value })}
      />
    </div>
  );

  return (
    <form className="range-form" onSubmit={submit} onKeyDown={onKey} noValidate>
      {input("start", "From")}
      {input("end", "To")}
      <button type="submit" className="button button-main" disabled={draft === null}>
        Show
      </button>
      <FieldProblem id={`${id}-problem`} problem={problem} />
    </form>
  );
}

export function RangePicker(props: RangePickerProps) {
  const { choice, span, zone, folded, onPreset, onSpan } = props;
  // What is half typed belongs to the range it was typed over: another choice drops it.
  const key = choice?.kind === "span" ? `${choice.span.start}-${choice.span.end}` : choice?.preset;
  const typed = <TypedRange key={key ?? "none"} span={span} zone={zone} onSpan={onSpan} />;
  return (
    <div className="range">
      <Presets presets={PRESETS} choice={choice} onPreset={onPreset} />
      {folded ? (
        <details className="fold range-fold">
          <summary>
            <span>Dates</span>
            <span className="faint fold-note">{spanLabel(span, zone)}</span>
          </summary>
          {typed}
        </details>
      ) : (
        typed
      )}
    </div>
  );
}
