import { useState } from "react";

const TOLD_MS = 2000;

function selectText(element: Element | null): void {
  if (element) window.getSelection()?.selectAllChildren(element);
}

/** A text to be copied: a command, an address, a key. */
export function CopyBlock({ label, text }: { label: string; text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async (button: HTMLButtonElement) => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      window.setTimeout(() => setCopied(false), TOLD_MS);
    } catch {
      // Only pages over TLS or on this machine may write there: else the text is marked, to be copied by hand.
      selectText(button.parentElement?.querySelector("code") ?? null);
    }
  };
  return (
    <div className="copy">
      <div className="copy-head">
        <span className="field-label">{label}</span>
        <button
          type="button"
          className="button button-small"
          aria-label={`Copy: ${label}`}
          onClick={(event) => void copy(event.currentTarget)}
        >
          {copied ? "Copied" : "Copy"}
        </button>
      </div>
      <pre>
        <code>{text}</code>
      </pre>
    </div>
  );
}
