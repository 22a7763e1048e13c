import { type FormEvent, useId, useState } from "react";
import { type Cohort, firstBounds, GENDERS, problemOf } from "../state/cohort";
import type { MetricRecord } from "../state/useMetrics";
import { FieldProblem } from "./FieldProblem";

interface CohortFormProps {
  cohort: Cohort;
  metrics: readonly MetricRecord[];
  /** The unit of a metric by its name. */
  unitOf: (metric: string) => string;
  onCohort: (cohort: Cohort) => void;
}

/** The conditions of a cohort, asked for when they are sent off. */
export function CohortForm({ cohort, metrics, unitOf, onCohort }: CohortFormProps) {
  const [draft, setDraft] = useState(cohort);
  const [problem, setProblem] = useState<string | null>(null);
  const id = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = problemOf(draft);
    setProblem(found);
    if (!found) onCohort(draft);
  };
  const chosen = metrics.find(({ metric }) => metric === draft.metric);
  const signed = (chosen?.min ?? 0) < 0;
  const number = (
    name: "over" | "upTo" | "age" | "upToAge" | "coverage",
    label: string,
    unit: string,
  ) => (
    <label className="cohort-field">
      <span className="field-label">{label}</span>
      <span className="with-unit">
        <input
          className="field"
          // On some phones the keys of numbers have no minus.
          inputMode={signed && unit !== "years" ? "text" : "decimal"}
          autoComplete="off"
          value={draft[name]}
          placeholder="any"
          aria-invalid={problem !== null}
          aria-describedby={problem ? `${id}-problem` : undefined}
          onChange={(event) => setDraft({ ...draft, [name]: event.target.value.trim() })}
        />
        <span className="faint">{unit}</span>
      </span>
    </label>
  );
  return (
    <form className="cohort-form card" onSubmit={submit} noValidate>
      <label className="cohort-field cohort-metric">
        <span className="field-label">Metric</span>
        <select
          className="field"
          value={draft.metric}
          // Bounds in another unit mean nothing.
          onChange={(event) => setDraft({ ...draft, ...firstBounds(event.target.value) })}
        >
          {!chosen && <option value={draft.metric}>{draft.metric.replaceAll("_", " ")}</option>}
          {metrics.map(({ metric, title }) => (
            <option key={metric} value={metric}>
              {title}
            </option>
          ))}
        </select>
      </label>
      {number("over", "Average above", unitOf(draft.metric))}
      {number("upTo", "Average up to", unitOf(draft.metric))}
      {number("age", "Older than", "years")}
      {number("upToAge", "Age up to", "years")}
      {number("coverage", "Coverage at least", "%")}
      <fieldset className="cohort-field">
        <legend className="field-label">Gender</legend>
        <div className="choices">
          {GENDERS.map((gender) => (
            <label key={gender} className="choice">
              <input
                type="checkbox"
                checked={draft.genders.includes(gender)}
                onChange={(event) => {
                  const others = draft.genders.filter((one) => one !== gender);
                  const genders = event.target.checked ? [...others, gender] : others;
                  setDraft({ ...draft, genders });
                }}
              />
              {gender}
            </label>
          ))}
        </div>
      </fieldset>
      <button type="submit" className="button button-main">
        Find people
      </button>
      <FieldProblem id={`${id}-problem`} problem={problem} />
    </form>
  );
}
