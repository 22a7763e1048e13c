import { DECIMAL_COMMA, FIELDS, type ImportForm, type TextField } from "../state/importForm";

interface FieldsProps {
  form: ImportForm;
  onForm: (form: ImportForm) => void;
}

/** Whose files they are, and what CSV files do not say themselves. */
export function ImportFields({ form, onForm }: FieldsProps) {
  const text = (name: TextField, placeholder: string) => (
    <label className="import-field">
      <span className="field-label">{FIELDS[name].label}</span>
      <input
        className="field"
        autoComplete="off"
        spellCheck={false}
        value={form[name]}
        placeholder={placeholder}
        onChange={(event) => onForm({ ...form, [name]: event.target.value })}
      />
    </label>
  );
  return (
    <>
      <div className="import-fields">
        {text("user", "if the files name nobody")}
        {text("zone", "the person’s own")}
        {text("device", "as the files say")}
      </div>
      <details className="import-more">
        <summary>Columns of CSV files</summary>
        <p className="faint">
          What is left empty is detected, and the summary says what was taken for what.
        </p>
        <div className="import-fields">
          {text("timeColumn", "or two: date, time")}
          {text("timeFormat", "iso, s, ms, %d.%m.%Y %H:%M:%S")}
          {text("valueColumn", "name or number")}
          {text("metric", "heart_rate")}
          {text("userColumn", "name or number")}
          {text("deviceColumn", "name or number")}
          {text("delimiter", "; or tab")}
          <label className="choice">
            <input
              type="checkbox"
              checked={form.decimalComma}
              onChange={(event) => onForm({ ...form, decimalComma: event.target.checked })}
            />
            {DECIMAL_COMMA.label}
          </label>
        </div>
      </details>
    </>
  );
}
