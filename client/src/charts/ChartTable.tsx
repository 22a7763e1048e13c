import { useMemo, useState } from "react";
import type { Span } from "../time/range";
import { rangeText, spanLabel, stretchLabel, valueText } from "./labels";
import { rowsOf } from "./rows";
import type { Track } from "./tracks";

/** As many rows as are read at once; more are a button away. */
const ROWS_A_PAGE = 200;

export interface ChartTableProps {
  tracks: readonly Track[];
  span: Span;
  zone: string;
  unit: string;
  /** Of another metric than heart rate. */
  title?: string;
  digits?: number;
  nameOf: (userId: string) => string;
}

/** The points of the chart as a table: for screen readers, and for whoever wants the numbers. */
export function ChartTable(props: ChartTableProps) {
  const { tracks, span, zone, unit, title, digits = 0, nameOf } = props;
  const label = `${title ?? "The chart"} as a table`;
  const [shown, setShown] = useState(ROWS_A_PAGE);
  const { rows, more } = useMemo(() => rowsOf(tracks, span, shown), [tracks, span, shown]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by the keyboard.
    <section className="chart-table" aria-label={label} tabIndex={0}>
      <table>
        <caption>
          {title ?? "Heart rate"} in {unit}, {spanLabel(span, zone)}: average, and lowest to highest
        </caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {tracks.map((track) => (
              <th key={track.userId} scope="col">
                {nameOf(track.userId)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.from}>
              <th scope="row">{stretchLabel({ start: row.from, end: row.to }, zone)}</th>
              {row.points.map((point, i) => (
                <td key={tracks[i]?.userId}>
                  {point === null ? (
                    <span className="faint">none</span>
                  ) : (
                    valueText(point.value, digits)
                  )}
                  {point && (
                    <span className="faint"> {rangeText(point.low, point.high, digits)}</span>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p className="faint">No readings in this range.</p>}
      {more && (
        <button
          type="button"
          className="button"
          onClick={() => setShown((count) => count + ROWS_A_PAGE)}
        >
          More rows
        </button>
      )}
    </section>
  );
}
