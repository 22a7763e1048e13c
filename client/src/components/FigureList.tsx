import { valueText } from "../charts/labels";
import { Icon } from "./Icon";

export interface PersonFigure {
  id: string;
  name: string;
  colour: string;
  value: number | null;
  /** What stands behind the value, or in its place. */
  note: string;
  faded?: boolean;
}

/** Who is on a plain chart, in which colour, with one figure each. */
export function FigureList(props: {
  figures: readonly PersonFigure[];
  unit?: string;
  /** How many decimals the figures have. */
  digits?: number;
  /** Whether each has one line alone, as above a chart. */
  compact?: boolean;
  /** Absent where nobody can be removed. */
  onRemove?: (id: string) => void;
}) {
  const { unit = "bpm", digits = 0, compact = false, onRemove } = props;
  return (
    <ul className="live-figures" data-compact={compact}>
      {props.figures.map(({ id, name, colour, value, note, faded }) => (
        <li key={id} className="live-figure" data-faded={faded ?? false}>
          <span className="legend-swatch" style={{ background: colour }} />
          <div>
            <span className="live-name">{name}</span>
            <p>
              {value !== null && (
                <>
                  <span className="live-value">{valueText(value, digits)}</span>{" "}
                  <span className="faint">{unit}</span>{" "}
                </>
              )}
              <span className="faint">{note}</span>
            </p>
          </div>
          {onRemove && (
            <button
              type="button"
              className="icon-button icon-button-small"
              aria-label={`Remove ${name} from the chart`}
              title="Remove from the chart"
              onClick={() => onRemove(id)}
            >
              <Icon name="close" size={14} />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
