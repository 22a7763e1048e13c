import { rangeText, spanLabel, stretchLabel, valueText } from "../charts/labels";
import { type Pyramid, summarise } from "../charts/pyramid";
import { pointAt, type Track } from "../charts/tracks";
import type { Span } from "../time/range";
import { Icon } from "./Icon";

export interface LegendProps {
  people: readonly string[];
  tracks: readonly Track[];
  /** Of the tracks, in their order. */
  pyramids: readonly Pyramid[];
  nameOf: (userId: string) => string;
  colourOf: (userId: string) => string;
  /** Where the cursor is; null when it is off the chart. */
  instant: number | null;
  span: Span;
  zone: string;
  unit: string;
  /** People whose lines are hidden. */
  muted: readonly string[];
  onMute: (userId: string) => void;
  onRemove: (userId: string) => void;
}

export interface Reading {
  value: number;
  low: number;
  high: number;
}

/** A person's figures at the cursor, or over all that is seen. */
export function readingOf(
  {
    tracks,
    pyramids,
    instant,
    span,
  }: Pick<LegendProps, "tracks" | "pyramids" | "instant" | "span">,
  userId: string,
): Reading | null {
  const place = tracks.findIndex((one) => one.userId === userId);
  const [track, pyramid] = [tracks[place], pyramids[place]];
  if (!track || !pyramid) return null;
  if (instant === null) {
    const summary = summarise(pyramid, span.start, span.end);
    return summary && { value: summary.average, low: summary.low, high: summary.high };
  }
  const index = pointAt(track, instant);
  const [value, low, high] = [track.value, track.low, track.high].map((all) => all[index ?? -1]);
  if (value === undefined || low === undefined || high === undefined) return null;
  return { value, low, high };
}

function headingOf({ tracks, instant, span, zone }: LegendProps): string {
  if (tracks.length === 0) return spanLabel(span, zone);
  if (instant === null) return `Average and range, ${spanLabel(span, zone)}`;
  for (const track of tracks) {
    const index = pointAt(track, instant);
    if (index === null) continue;
    const start = track.from[index] ?? instant;
    return stretchLabel({ start, end: track.to[index] ?? start }, zone);
  }
  return stretchLabel({ start: instant, end: instant }, zone);
}

export function Figures(props: { reading: Reading | null; unit: string; digits?: number }) {
  const { reading, unit, digits = 0 } = props;
  if (!reading) return <span className="legend-none">no reading</span>;
  const { value, low, high } = reading;
  const range = rangeText(low, high, digits);
  return (
    <>
      <span className="legend-value">{valueText(value, digits)}</span>
      <span className="legend-unit">{unit}</span>
      {range && <span className="legend-band">{range}</span>}
    </>
  );
}

/** Who is on the chart, in which colour, with the figures at the cursor or over the whole range. */
export function Legend(props: LegendProps) {
  const { people, tracks, nameOf, colourOf, unit, muted, onMute, onRemove } = props;
  return (
    <div className="legend">
      <p className="legend-heading">{headingOf(props)}</p>
      <ul>
        {people.map((id) => {
          return (
            <li key={id} className="legend-person" data-muted={muted.includes(id)}>
              <button
                type="button"
                className="legend-toggle"
                aria-pressed={!muted.includes(id)}
                title={muted.includes(id) ? "Show the line" : "Hide the line"}
                onClick={() => onMute(id)}
              >
                <span className="legend-swatch" style={{ background: colourOf(id) }} />
                <span className="legend-name">{nameOf(id)}</span>
              </button>
              {tracks.length > 0 && <Figures reading={readingOf(props, id)} unit={unit} />}
              <button
                type="button"
                className="icon-button icon-button-small"
                aria-label={`Remove ${nameOf(id)} from the chart`}
                title="Remove from the chart"
                onClick={() => onRemove(id)}
              >
                <Icon name="close" size={14} />
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
