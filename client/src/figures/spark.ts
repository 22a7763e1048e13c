/** A small chart as an SVG path: no axes, gaps left open. */
import type { Span } from "../time/range";
import { breaksAfter, type Line, xOf } from "./line";

/** How high a point stands that is alone. */
const ALONE = 5;

export interface Spark {
  path: string;
  low: number;
  high: number;
}

/** The path of a line in a box, over its own range or over `scale`; null where there is nothing to draw. */
export function sparkOf(
  line: Line,
  span: Span,
  width: number,
  height: number,
  scale: readonly [number, number] | null = null,
): Spark | null {
  if (line.value.length === 0) return null;
  const low = Math.min(...line.value);
  const high = Math.max(...line.value);
  const [bottom, top] = scale ?? [low, high];
  const across = (at: number) => ((at - span.start) / (span.end - span.start)) * width;
  // A flat line lies in the middle.
  const down = (value: number) =>
    top === bottom ? height / 2 : height - 1 - ((value - bottom) / (top - bottom)) * (height - 2);
  let path = "";
  let pen = "M";
  line.value.forEach((value, i) => {
    path += `${pen}${across(xOf(line, i)).toFixed(1)} ${down(value).toFixed(1)}`;
    const breaks = breaksAfter(line, i);
    // A point between two breaks is a short upright stroke, so that it can be seen.
    if (pen === "M" && breaks) path += `m0 ${-ALONE / 2}v${ALONE}`;
    pen = breaks ? "M" : "L";
  });
  return { path, low, high };
}
