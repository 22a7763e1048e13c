import { useState } from "react";

/** A button that asks once more before it does what cannot be undone. */
export function ConfirmButton(props: {
  label: string;
  /** What the second press says. */
  confirm: string;
  /** What it is about, for those who hear the button alone. */
  about: string;
  disabled: boolean;
  onConfirm: () => void;
}) {
  const { label, confirm, about, disabled, onConfirm } = props;
  const [asking, setAsking] = useState(false);
  return (
    <button
      type="button"
      className={asking ? "button button-bad" : "button"}
      disabled={disabled}
      aria-label={`${asking ? confirm : label}: ${about}`}
      onBlur={() => setAsking(false)}
      onClick={() => {
        setAsking(!asking);
        if (asking) onConfirm();
      }}
    >
      {asking ? confirm : label}
    </button>
  );
}
