import { type FormEvent, useId, useState } from "react";
import { type Cohort, GENDERS, problemOf } from "../state/cohort";
import { FieldProblem } from "./FieldProblem";

/** The conditions of a cohort, asked for when they are sent off. */
export function CohortForm(props: { cohort: Cohort; onCohort: (cohort: Cohort) => void }) {
  const [draft, setDraft] = useState(props.cohort);
  const [problem, setProblem] = useState<string | null>(null);
  const id = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const found = problemOf(draft);
    setProblem(found);
    if (!found) props.onCohort(draft);
  };
  const number = (name: "threshold" | "age" | "coverage", label: string, unit: string) => (
    <label className="cohort-field">
      <span className="field-label">{label}</span>
      <span className="with-unit">
        <input
          className="field"
          inputMode="decimal"
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
      {number("threshold", "Average above", "bpm")}
      {number("age", "Older than", "years")}
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
