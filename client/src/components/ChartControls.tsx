import { useId } from "react";
import { intervalLabel } from "../charts/labels";
import { type ChartView, RUNGS, type Rung } from "../state/chartView";

export interface ChartControlsProps {
  chart: ChartView;
  onChange: (change: Partial<ChartView>) => void;
}

/** How the chart is looked at: layers, resolution, picture or table. */
export function ChartControls({ chart, onChange }: ChartControlsProps) {
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
