import { INTRADAY, type Metric, SUMMARY } from "../state/url";

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
