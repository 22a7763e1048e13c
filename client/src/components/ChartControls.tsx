import { type ReactNode, useId } from "react";
import { intervalLabel } from "../charts/labels";
import { MARKER_KINDS, type MarkerKind } from "../charts/markers";
import { type ChartView, RUNGS, type Rung } from "../state/chartView";

export interface ChartControlsProps {
  chart: ChartView;
  onChange: (change: Partial<ChartView>) => void;
  /** What else there is to do with marks; undefined where there are none to choose from. */
  marking?: ReactNode;
}

const MARKS: Record<MarkerKind, string> = {
  note: "Notes",
  device: "Devices",
  source: "Connections",
  import: "Imports",
  signal: "Signals",
};

const SHAPES: Record<MarkerKind, string> = {
  note: "M2 1l9 5-9 5z",
  device: "M6 1l5 5-5 5-5-5z",
  source: "M1 1h10L6 11z",
  import: "M1 1h10v10H1z",
  signal: "M6 1a5 5 0 1 1 0 10a5 5 0 1 1 0-10z",
};

/** As it is drawn on the chart. */
function MarkShape({ kind }: { kind: MarkerKind }) {
  return (
    <svg className="mark-shape" data-kind={kind} viewBox="0 0 12 12" aria-hidden="true">
      <path d={SHAPES[kind]} />
    </svg>
  );
}

/** How the chart is looked at: layers, resolution, picture or table. */
export function ChartControls({ chart, onChange, marking }: ChartControlsProps) {
  const id = useId();
  const toggle = (name: "resting" | "zones" | "table", label: string) => (
    <button
      type="button"
      className="preset"
      aria-pressed={chart[name]}
      onClick={() => onChange({ [name]: !chart[name] })}
    >
      {label}
    </button>
  );
  return (
    <div className="chart-controls">
      <fieldset className="presets">
        <legend className="visually-hidden">What is shown</legend>
        {toggle("resting", "Resting heart rate")}
        {toggle("zones", "Zones")}
        {toggle("table", "As a table")}
      </fieldset>
      {marking !== undefined && (
        <fieldset className="presets marks">
          <legend className="visually-hidden">What is marked</legend>
          {MARKER_KINDS.map((kind) => (
            <button
              key={kind}
              type="button"
              className="preset"
              aria-pressed={chart.marks.includes(kind)}
              onClick={() => {
                const next = (one: MarkerKind) => chart.marks.includes(one) !== (one === kind);
                onChange({ marks: MARKER_KINDS.filter(next) });
              }}
            >
              <MarkShape kind={kind} />
              {MARKS[kind]}
            </button>
          ))}
        </fieldset>
      )}
      {marking}
      <label className="chart-resolution" htmlFor={id}>
        <span className="faint">Resolution</span>
        <select
          id={id}
          className="field"
          value={chart.resolution ?? ""}
          onChange={(event) =>
            onChange({ resolution: (event.target.value || null) as Rung | null })
          }
        >
          <option value="">Automatic</option>
          {RUNGS.map((rung) => (
            <option key={rung} value={rung}>
              {intervalLabel(rung)}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
