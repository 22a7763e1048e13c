import { spanLabel } from "../charts/labels";
import { useMedia } from "../state/useMedia";
import { UNITS, type Unit, unitAt, unitOf } from "../time/civil";
import { CIVIL_PRESETS, PRESETS, type PresetId, type RangeChoice, type Span } from "../time/range";
import { Menu } from "./Menu";
import { Presets, TypedRange } from "./RangePicker";
import { Steps } from "./Steps";

const ALL_PRESETS = [...CIVIL_PRESETS, ...PRESETS];
const UNIT_LABELS: Record<Unit, string> = {
  day: "Day",
  week: "Week",
  month: "Month",
  year: "Year",
};

export interface RangeBarProps {
  choice: RangeChoice | null;
  span: Span;
  zone: string;
  /** How late there may be readings. */
  latest: number;
  /** Whether there is room for all presets side by side. */
  wide: boolean;
  disabled: boolean;
  onPreset: (preset: PresetId) => void;
  onSpan: (span: Span) => void;
  /** To the unit of the calendar before or after. */
  onStep: (span: Span) => void;
  /** Half of what is in view, where that is no unit. */
  onPan: (by: -1 | 1) => void;
  onZoom: (by: "in" | "out") => void;
}

/** The range in one row: steps, presets, and what is folded away, units of the calendar and typed ends. */
export function RangeBar(props: RangeBarProps) {
  const { choice, span, zone, latest, wide, onPreset, onSpan } = props;
  const narrow = useMedia("(max-width: 40rem)");
  const unit = unitOf(span, zone);
  const step = (by: -1 | 1) => {
    if (unit === null) props.onPan(by);
    else props.onStep(unitAt(span.start, unit, zone, by));
  };
  const key = choice?.kind === "span" ? `${span.start}-${span.end}` : choice?.preset;
  const preset = ALL_PRESETS.find((one) => choice?.kind === "preset" && one.id === choice.preset);
  const presets = <Presets presets={ALL_PRESETS} choice={choice} onPreset={onPreset} />;
  return (
    <div className="range-bar">
      <Steps
        disabled={props.disabled}
        unit={unit}
        zoom={!narrow}
        canGoLater={span.end < latest}
        onEarlier={() => step(-1)}
        onLater={() => step(1)}
        onZoomIn={() => props.onZoom("in")}
        onZoomOut={() => props.onZoom("out")}
      />
      {wide && presets}
      <Menu label={wide ? "Dates" : (preset?.label ?? spanLabel(span, zone))}>
        {!wide && presets}
        {narrow && (
          <fieldset className="presets">
            <legend className="visually-hidden">Zoom</legend>
            <button type="button" className="preset" onClick={() => props.onZoom("out")}>
              Zoom out
            </button>
            <button type="button" className="preset" onClick={() => props.onZoom("in")}>
              Zoom in
            </button>
          </fieldset>
        )}
        <fieldset>
          <legend className="field-label">On the calendar</legend>
          <div className="presets units">
            {UNITS.map((one) => (
              <button
                key={one}
                type="button"
                className="preset"
                aria-pressed={one === unit}
                onClick={() => onSpan(unitAt(Math.min(span.end, latest) - 1, one, zone))}
              >
                {UNIT_LABELS[one]}
              </button>
            ))}
          </div>
        </fieldset>
        <TypedRange key={key ?? "none"} span={span} zone={zone} onSpan={onSpan} />
      </Menu>
    </div>
  );
}
