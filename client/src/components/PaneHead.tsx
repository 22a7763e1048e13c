import type { ReactNode } from "react";
import { Icon } from "./Icon";

interface PaneHeadProps {
  title: string;
  unit: string;
  onRemove: () => void;
  children?: ReactNode;
}

/** The name of a pane's metric, what the children tell of it, and the button that takes the pane away. */
export function PaneHead({ title, unit, onRemove, children }: PaneHeadProps) {
  return (
    <div className="pane-head">
      <h2>
        {title} <span className="faint">{unit}</span>
      </h2>
      {children}
      <button
        type="button"
        className="icon-button icon-button-small"
        aria-label={`Remove ${title}`}
        title="Remove this metric"
        onClick={onRemove}
      >
        <Icon name="close" size={14} />
      </button>
    </div>
  );
}
