import { type FormEvent, useId, useState } from "react";
import { ErrorNotice } from "../../components/ErrorNotice";
import { FieldProblem } from "../../components/FieldProblem";
import { type Condition, FIRST_SIGNAL, makeSignal, readSignal } from "../../state/signals";
import { useChange } from "../../state/useChange";
import type { MetricRecord } from "../../state/useMetrics";

const CONDITIONS: Record<Condition, string> = {
  above: "is above",
  below: "is below",
  silent_for: "has no reading for",
};

/** A new signal. */
export function SignalForm(props: { metrics: readonly MetricRecord[]; onMade: () => void }) {
  const id = useId();
  const [form, setForm] = useState(FIRST_SIGNAL);
  const [problem, setProblem] = useState<string | null>(null);
  const { busy, error, run } = useChange();
  const silent = form.condition === "silent_for";
  const unit = props.metrics.find(({ metric }) => metric === form.metric)?.unit ?? "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const read = readSignal(form);
    setProblem(typeof read === "string" ? read : null);
    if (typeof read === "string") return;
    run(async (signal) => {
      await makeSignal(read, signal);
      setForm(FIRST_SIGNAL);
      props.onMade();
    });
  };
  const text = (name: "bound" | "length" | "people", label: string, placeholder: string) => (
    <label className="import-field">
      <span className="field-label">{label}</span>
      <input
        className="field"
        autoComplete="off"
        placeholder={placeholder}
        value={form[name]}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onChange={(event) => setForm({ ...form, [name]: event.target.value })}
      />
    </label>
  );
  return (
    <details className="import-more">
      <summary>Make a signal</summary>
      <form onSubmit={submit} noValidate>
        <div className="import-fields">
          <label className="import-field">
            <span className="field-label">Metric</span>
            <select
              className="field"
              value={form.metric}
              onChange={(event) => setForm({ ...form, metric: event.target.value })}
            >
              {props.metrics.map(({ metric, title }) => (
                <option key={metric} value={metric}>
                  {title}
                </option>
              ))}
            </select>
          </label>
          <label className="import-field">
            <span className="field-label">Condition</span>
            <select
              className="field"
              value={form.condition}
              onChange={(event) => {
                setForm({ ...form, condition: event.target.value as Condition, bound: "" });
              }}
            >
              {Object.entries(CONDITIONS).map(([name, label]) => (
                <option key={name} value={name}>
                  {label}
                </option>
              ))}
            </select>
          </label>
          {text("bound", silent ? "So long" : `Value${unit && ` in ${unit}`}`, silent ? "6h" : "")}
          {!silent && text("length", "For at least", "10m")}
          {text("people", "People by id", "everybody")}
          <button type="submit" className="button button-main" disabled={busy}>
            Make the signal
          </button>
        </div>
        <FieldProblem id={`${id}-problem`} problem={problem} />
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
      </form>
    </details>
  );
}
