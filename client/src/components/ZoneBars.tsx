import { dateLabel } from "../charts/labels";
import { type Day, minutesIn, zoneNames } from "../figures/days";
import { durationLabel, minutesLabel } from "../figures/words";

const WIDTH = 720;
const HEIGHT = 150;
/** More days than this would be thinner than a line. */
const MOST_DAYS = 366;

/** Round steps of a scale of minutes, and its end. */
function minuteScale(most: number): [number, number[]] {
  const step = [5, 10, 15, 30, 60, 120, 240, 480].find((one) => one * 4 >= most) ?? 480;
  const count = Math.ceil(most / step);
  return [count * step, Array.from({ length: count + 1 }, (_, i) => i * step)];
}

/** `93–129 bpm`, of the latest day that has the zone. */
function boundsOf(days: readonly Day[], name: string): string {
  const parts = days.flatMap((day) => day.zones.filter((zone) => zone.name === name));
  const { low = null, high = null } = parts.at(-1) ?? {};
  if (low === null) return "";
  return high === null ? `from ${low} bpm` : `${low}\u2013${high} bpm`;
}

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
  const [top, steps] = minuteScale(most);
  return (
    <>
      <ul className="zone-legend">
        {names.map((name, index) => {
          const minutes = shown.reduce((sum, day) => sum + minutesIn(day, name), 0);
          const mean = minutesLabel(Math.round(minutes / shown.length));
          return (
            <li key={name}>
              <span className={`zone-swatch zone-${index}`} />
              {name}{" "}
              <span className="faint">
                {boundsOf(shown, name)}, {mean} a day
              </span>
            </li>
          );
        })}
      </ul>
      <div className="zone-plot">
        <div className="zone-axis faint" aria-hidden="true">
          {steps.map((minutes) => (
            <span key={minutes} style={{ bottom: `${(100 * minutes) / top}%` }}>
              {minutesLabel(minutes)}
            </span>
          ))}
        </div>
        <svg
          className="zone-bars"
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Minutes in ${names.join(", ")} by day; the most on a day is ${durationLabel(most * 60_000)}. The table of daily summaries has the numbers.`}
        >
          {steps.map((minutes) => (
            <path
              key={minutes}
              className="zone-grid"
              d={`M0 ${HEIGHT * (1 - minutes / top)}h${WIDTH}`}
              vectorEffect="non-scaling-stroke"
            />
          ))}
          {shown.map((day) => {
            let above = HEIGHT;
            return names.map((name, index) => {
              const height = (minutesIn(day, name) / top) * HEIGHT;
              above -= height;
              const width = Math.max(0.8, (xOf(day.end) - xOf(day.start)) * 0.82);
              return (
                <rect
                  key={`${day.date} ${name}`}
                  className={`zone-${index}`}
                  x={xOf(day.start)}
                  y={above}
                  width={width}
                  height={height}
                >
                  <title>{`${dateLabel(day.start, zone)}: ${name} ${minutesLabel(minutesIn(day, name))}`}</title>
                </rect>
              );
            });
          })}
        </svg>
      </div>
      <p className="axis-ends faint">
        <span>{dateLabel(first.start, zone)}</span>
        <span>{dateLabel(last.start, zone)}</span>
      </p>
    </>
  );
}
