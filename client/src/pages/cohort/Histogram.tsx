import { histogramOf } from "../../figures/histogram";
import { pluralLabel } from "../../figures/words";
import { LOCALE } from "../../locale";
import type { Cohort } from "../../state/cohort";

const WIDTH = 720;
const HEIGHT = 110;

/** How the averages of everybody are spread, with the bounds of the cohort drawn in. */
export function Histogram(props: { averages: readonly number[]; cohort: Cohort; unit: string }) {
  const { averages, cohort, unit } = props;
  const bars = histogramOf(averages);
  const [first, last] = [bars[0], bars.at(-1)];
  if (!first || !last || averages.length < 2) return null;
  const bounds = [cohort.over, cohort.upTo].filter((text) => text !== "").map(Number);
  const low = Math.min(first.low, ...bounds);
  const high = Math.max(last.high, ...bounds);
  const most = Math.max(...bars.map(({ count }) => count));
  const x = (value: number) => ((value - low) / (high - low)) * WIDTH;
  const inside = (value: number) =>
    (cohort.over === "" || value > Number(cohort.over)) &&
    (cohort.upTo === "" || value <= Number(cohort.upTo));
  return (
    <figure className="histogram">
      <figcaption className="faint">
        Averages of {pluralLabel(averages.length, "person", "people")} in {unit}
        {bounds.length > 0 && "; within the bounds dark"}
      </figcaption>
      <div className="histogram-plot">
        <span className="histogram-most faint" aria-hidden="true">
          {most.toLocaleString(LOCALE)}
        </span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Averages from ${first.low} to ${last.high} ${unit}; at most ${pluralLabel(most, "person", "people")} within ${Number((first.high - first.low).toPrecision(3))} ${unit}.`}
        >
          {bars.map((bar) => (
            <rect
              key={bar.low}
              className={inside((bar.low + bar.high) / 2) ? "bar-in" : "bar-out"}
              x={x(bar.low) + 0.5}
              y={HEIGHT * (1 - bar.count / most)}
              width={Math.max(1, x(bar.high) - x(bar.low) - 1)}
              height={(HEIGHT * bar.count) / most}
            >
              <title>{`${bar.low} to ${bar.high} ${unit}: ${pluralLabel(bar.count, "person", "people")}`}</title>
            </rect>
          ))}
          {bounds.map((bound) => (
            <path
              key={bound}
              className="histogram-bound"
              d={`M${x(bound)} 0v${HEIGHT}`}
              vectorEffect="non-scaling-stroke"
            />
          ))}
        </svg>
        <p className="histogram-axis faint" aria-hidden="true">
          {[...new Set([low, ...bounds, high])].map((value) => (
            <span key={value} style={{ left: `${(100 * (value - low)) / (high - low)}%` }}>
              {value.toLocaleString(LOCALE, { maximumFractionDigits: 2 })}
            </span>
          ))}
        </p>
      </div>
    </figure>
  );
}
