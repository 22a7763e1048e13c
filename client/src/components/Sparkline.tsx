import { rangeText, valueText } from "../charts/labels";
import type { Line } from "../figures/line";
import { sparkOf } from "../figures/spark";
import type { Span } from "../time/range";

const WIDTH = 160;
const HEIGHT = 36;

/** A line without axes; its extremes are said in words. */
export function Sparkline(props: {
  line: Line;
  span: Span;
  /** The values at the bottom and at the top, where several are to be compared. */
  scale?: readonly [number, number] | null;
  unit?: string;
  digits?: number;
  label?: string;
}) {
  const { line, span, scale = null, unit = "bpm", digits = 0 } = props;
  const spark = sparkOf(line, span, WIDTH, HEIGHT, scale);
  if (!spark) return <span className="faint">no readings</span>;
  const range = rangeText(spark.low, spark.high, digits);
  const said = range ? `From ${range.replace("\u2013", " to ")}` : valueText(spark.low, digits);
  const label = props.label ?? `${said} ${unit}`;
  return (
    <svg
      className="spark"
      viewBox={`-2 -2 ${WIDTH + 4} ${HEIGHT + 4}`}
      role="img"
      aria-label={label}
      preserveAspectRatio="none"
    >
      <path d={spark.path} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
