import { dateLabel } from "../charts/labels";
import { type Day, minutesIn, zoneNames } from "../figures/days";
import { durationLabel, minutesLabel } from "../figures/words";

const WIDTH = 720;
const HEIGHT = 150;
/** More days than this would be thinner than a line. */
const MOST_DAYS = 366;

/** Minutes a day in the zones above the lowest one, which takes most of every day, as stacked bars. */
export function ZoneBars({ days, zone }: { days: readonly Day[]; zone: string }) {
  const shown = days.slice(-MOST_DAYS);
  const names = zoneNames(shown).slice(1);
  const totals = shown.map((day) => names.reduce((sum, name) => sum + minutesIn(day, name), 0));
  const most = Math.max(1, ...totals);
  const first = shown[0];
  const last = shown.at(-1);
  if (!first || !last) return null;
  const span = last.end - first.start;
  const xOf = (at: number) => ((at - first.start) / span) * WIDTH;
  return (
    <>
      <ul className="zone-legend">
        {names.map((name, index) => {
          const minutes = shown.reduce((sum, day) => sum + minutesIn(day, name), 0);
          const mean = minutesLabel(Math.round(minutes / shown.length));
          return (
            <li key={name}>
              <span className={`zone-swatch zone-${index}`} />
              {name} <span className="faint">{mean} a day</span>
            </li>
          );
        })}
      </ul>
      <svg
        className="zone-bars"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Minutes in ${names.join(", ")} by day; the most on a day is ${durationLabel(most * 60_000)}. The table of daily summaries has the numbers.`}
      >
        {shown.map((day) => {
          let top = HEIGHT;
          return names.map((name, index) => {
            const height = (minutesIn(day, name) / most) * HEIGHT;
            top -= height;
            const width = Math.max(0.8, (xOf(day.end) - xOf(day.start)) * 0.82);
            return (
              <rect
                key={`${day.date} ${name}`}
                className={`zone-${index}`}
                x={xOf(day.start)}
                y={top}
                width={width}
                height={height}
              />
            );
          });
        })}
      </svg>
      <p className="axis-ends faint">
        <span>{dateLabel(first.start, zone)}</span>
        <span>up to {durationLabel(most * 60_000)}</span>
        <span>{dateLabel(last.start, zone)}</span>
      </p>
    </>
  );
}
