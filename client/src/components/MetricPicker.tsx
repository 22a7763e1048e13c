import { INTRADAY, type Metric, SUMMARY } from "../state/url";
import type { MetricRecord } from "../state/useMetrics";

const METRICS: readonly { id: Metric; label: string; title: string }[] = [
  { id: INTRADAY, label: "Heart rate", title: "Readings through the day" },
  { id: SUMMARY, label: "Daily summary", title: "Resting heart rate and zones by day" },
];

export function MetricPicker(props: { metric: Metric; onMetric: (metric: Metric) => void }) {
  return (
    <fieldset className="presets metric">
      <legend className="visually-hidden">Metric</legend>
      {METRICS.map(({ id, label, title }) => (
        <button
          key={id}
          type="button"
          className="preset"
          title={title}
          aria-pressed={id === props.metric}
          onClick={() => props.onMetric(id)}
        >
          {label}
        </button>
      ))}
    </fieldset>
  );
}

/** Which metrics are shown below heart rate; those that nobody has are not offered. */
export function OtherMetrics(props: {
  offered: readonly MetricRecord[];
  chosen: readonly string[];
  onChange: (chosen: readonly string[]) => void;
}) {
  const { offered, chosen, onChange } = props;
  if (offered.length === 0) return null;
  return (
    <fieldset className="presets others">
      <legend className="visually-hidden">Shown below heart rate</legend>
      {offered.map(({ metric, title, unit }) => {
        const shown = chosen.includes(metric);
        const without = chosen.filter((one) => one !== metric);
        return (
          <button
            key={metric}
            type="button"
            className="preset"
            title={`In ${unit}, below heart rate`}
            aria-pressed={shown}
            onClick={() => onChange(shown ? without : [...chosen, metric])}
          >
            {title}
          </button>
        );
      })}
    </fieldset>
  );
}
