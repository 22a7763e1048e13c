import { Icon } from "./Icon";

export interface StepsProps {
  disabled: boolean;
  canGoLater: boolean;
  onEarlier: () => void;
  onLater: () => void;
  onZoomIn: () => void;
  onZoomOut: () => void;
}

/** What dragging does, as buttons: for the keyboard, and for going back out. */
export function Steps(props: StepsProps) {
  const { disabled, canGoLater } = props;
  const button = (
    icon: "left" | "right" | "minus" | "plus",
    label: string,
    onClick: () => void,
    off = disabled,
  ) => (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      disabled={off}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <fieldset className="steps">
      <legend className="visually-hidden">Move through time</legend>
      {button("left", "Earlier", props.onEarlier)}
      {button("right", "Later", props.onLater, disabled || !canGoLater)}
      {button("minus", "Zoom out", props.onZoomOut)}
      {button("plus", "Zoom in", props.onZoomIn)}
    </fieldset>
  );
}
