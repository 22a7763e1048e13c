import { Icon } from "./Icon";

export interface StepsProps {
  disabled: boolean;
  /** Of the calendar, by which is stepped; null for half of what is in view. */
  unit: string | null;
  canGoLater: boolean;
  /** Whether there is room for the buttons of zooming. */
  zoom: boolean;
  onEarlier: () => void;
  onLater: () => void;
  onZoomIn: () => void;
  onZoomOut: () => void;
}

/** What dragging does, as buttons: for the keyboard, and for going back out. */
export function Steps(props: StepsProps) {
  const { disabled, unit, canGoLater } = props;
  const button = (
    icon: "left" | "right" | "minus" | "plus",
    label: string,
    onClick: () => void,
    off = disabled,
    title = label,
  ) => (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={title}
      disabled={off}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <fieldset className="steps">
      <legend className="visually-hidden">Move through time</legend>
      {button(
        "left",
        "Earlier",
        props.onEarlier,
        disabled,
        unit ? `The ${unit} before` : "Earlier",
      )}
      {button(
        "right",
        "Later",
        props.onLater,
        disabled || !canGoLater,
        unit ? `The ${unit} after` : "Later",
      )}
      {props.zoom && button("minus", "Zoom out", props.onZoomOut)}
      {props.zoom && button("plus", "Zoom in", props.onZoomIn)}
    </fieldset>
  );
}
