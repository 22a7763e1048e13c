/** What a picture of a track needs: for each column of pixels the extremes and the average. */
import { blocksWithin, levelFor, type Pyramid } from "./pyramid";

/** Equal lengths; only columns that hold something. */
export interface Columns {
  length: number;
  /** Where in the picture, in CSS pixels from its left edge; the first and the last may lie outside. */
  x: Float64Array;
  average: Float64Array;
  low: Float64Array;
  high: Float64Array;
  /** 1 where the line breaks after the column. */
  broken: Uint8Array;
}

export interface Frame {
  start: number;
  end: number;
  /** In CSS pixels. */
  width: number;
}

function blank(length: number): Columns {
  const numbers = () => new Float64Array(length);
  return {
    length: 0,
    x: numbers(),
    average: numbers(),
    low: numbers(),
    high: numbers(),
    broken: new Uint8Array(length),
  };
}

/**
 * One column for each pixel that holds points; its extremes are those of all its points, its
 * average weighs by readings. Columns are counted from 1970, not from the picture's edge, so that
 * the same points share a column while the picture moves. Where points stand further apart than
 * pixels, each is a column of its own at its exact place. A gap within one pixel is not seen.
 */
export function decimate(pyramid: Pyramid, frame: Frame): Columns {
  const { start, end, width } = frame;
  const level = levelFor(pyramid, start, end, width);
  if (!level || end <= start || width <= 0) return blank(0);
  const [begin, stop] = blocksWithin(level, start, end);
  const out = blank(Math.min(stop - begin, Math.ceil(width) + 4));
  const perPixel = (end - start) / width;
  let column = Number.NaN;
  let at = -1;
  let place = 0;
  let held = 0;
  let sum = 0;
  let count = 0;
  for (let i = begin; i < stop; i += 1) {
    const middle = ((level.first[i] ?? 0) + (level.last[i] ?? 0)) / 2;
    // Points outside are only there to lead the line to the edge: all of them are one column.
    const its =
      middle < start ? -1 : middle >= end ? Number.MAX_VALUE : Math.floor(middle / perPixel);
    if (its !== column) {
      column = its;
      at += 1;
      place = held = sum = count = 0;
      out.low[at] = Number.POSITIVE_INFINITY;
      out.high[at] = Number.NEGATIVE_INFINITY;
    }
    place += middle;
    held += 1;
    sum += level.sum[i] ?? 0;
    count += level.count[i] ?? 0;
    out.x[at] = (place / held - start) / perPixel;
    out.average[at] = sum / count;
    out.low[at] = Math.min(out.low[at] ?? 0, level.low[i] ?? 0);
    out.high[at] = Math.max(out.high[at] ?? 0, level.high[i] ?? 0);
    out.broken[at] = level.broken[i] ?? 0;
  }
  out.length = at + 1;
  return out;
}

/** The extremes of what is in view; null when nothing is. */
export function extremes(all: readonly Columns[], width: number): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const columns of all) {
    for (let i = 0; i < columns.length; i += 1) {
      const x = columns.x[i] ?? 0;
      if (x < -1 || x > width + 1) continue;
      low = Math.min(low, columns.low[i] ?? low);
      high = Math.max(high, columns.high[i] ?? high);
    }
  }
  return low <= high ? [low, high] : null;
}
