/**
 * A track at ever coarser levels, so that a picture of any length is drawn from a few points a
 * pixel. Blocks of a level gather up to four of the level below and never reach over a gap, so that
 * each level has the same extremes, the same readings and the same breaks as the track itself.
 */
import type { Span } from "../time/range";
import { gapAfter, lowerBound, type Track } from "./tracks";

const GATHERED = 4;
/** A level this short is drawn as it is. */
const SHORT = 512;
/** Where a picture would have more points a pixel than this, a coarser level is taken. */
const POINTS_PER_COLUMN = 12;

export interface Level {
  /** Where the first and the last point of each block are drawn. */
  first: Float64Array;
  last: Float64Array;
  low: Float64Array;
  high: Float64Array;
  /** Of the values, each as often as it has readings; with `count` it makes the average. */
  sum: Float64Array;
  count: Float64Array;
  /** 1 where the line breaks after the block. */
  broken: Uint8Array;
}

/** The finest first. */
export type Pyramid = readonly Level[];

function ground(track: Track): Level {
  const { x, value, low, high, count } = track;
  return {
    first: x,
    last: x,
    low,
    high,
    sum: value.map((average, i) => average * (count[i] ?? 0)),
    count,
    broken: Uint8Array.from(x, (_at, i) => (gapAfter(track, i) ? 1 : 0)),
  };
}

/** Where each block of the next level begins. */
function blockStarts(below: Level): number[] {
  const starts: number[] = [];
  let held = GATHERED;
  for (let i = 0; i < below.first.length; i += 1) {
    if (held === GATHERED || below.broken[i - 1]) {
      starts.push(i);
      held = 0;
    }
    held += 1;
  }
  return starts;
}

function above(below: Level): Level {
  const starts = blockStarts(below);
  const length = starts.length;
  const blank = () => new Float64Array(length);
  const next: Level = {
    first: blank(),
    last: blank(),
    low: blank(),
    high: blank(),
    sum: blank(),
    count: blank(),
    broken: new Uint8Array(length),
  };
  starts.forEach((start, block) => {
    const end = starts[block + 1] ?? below.first.length;
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    let sum = 0;
    let count = 0;
    for (let i = start; i < end; i += 1) {
      low = Math.min(low, below.low[i] ?? low);
      high = Math.max(high, below.high[i] ?? high);
      sum += below.sum[i] ?? 0;
      count += below.count[i] ?? 0;
    }
    next.first[block] = below.first[start] ?? 0;
    next.last[block] = below.last[end - 1] ?? 0;
    next.low[block] = low;
    next.high[block] = high;
    next.sum[block] = sum;
    next.count[block] = count;
    next.broken[block] = below.broken[end - 1] ?? 0;
  });
  return next;
}

export function buildPyramid(track: Track): Pyramid {
  const levels = [ground(track)];
  for (let top = levels[0]; top && top.first.length > SHORT; ) {
    const next = above(top);
    // Where every point stands alone there is nothing to gather.
    if (next.first.length > top.first.length * 0.75) break;
    levels.push(next);
    top = next;
  }
  return levels;
}

/** The blocks [begin, end) of a level that touch a span, with one more at each side. */
export function blocksWithin(level: Level, start: number, end: number): [number, number] {
  const begin = Math.max(0, lowerBound(level.last, start) - 1);
  return [begin, Math.min(level.first.length, lowerBound(level.first, end) + 1)];
}

/** The finest level that has not many more points in a span than the picture has columns. */
export function levelFor(
  pyramid: Pyramid,
  start: number,
  end: number,
  columns: number,
): Level | null {
  for (const level of pyramid) {
    const [begin, stop] = blocksWithin(level, start, end);
    if (stop - begin <= columns * POINTS_PER_COLUMN) return level;
  }
  return pyramid.at(-1) ?? null;
}

export interface Summary {
  average: number;
  low: number;
  high: number;
}

/** Adds up what lies in [start, end): whole blocks of a level, and at both ends those of the levels below. */
function addUp(levels: Pyramid, start: number, end: number, into: Totals): void {
  const level = levels.at(-1);
  if (!level) return;
  const below = levels.slice(0, -1);
  const { first, last } = level;
  const begin = lowerBound(first, start);
  const stop = lowerBound(last, end);
  if (begin >= stop) {
    addUp(below, start, end, into);
    return;
  }
  for (let i = begin; i < stop; i += 1) {
    into.sum += level.sum[i] ?? 0;
    into.count += level.count[i] ?? 0;
    into.low = Math.min(into.low, level.low[i] ?? into.low);
    into.high = Math.max(into.high, level.high[i] ?? into.high);
  }
  addUp(below, start, first[begin] ?? end, into);
  addUp(below, first[stop] ?? end, end, into);
}

interface Totals {
  sum: number;
  count: number;
  low: number;
  high: number;
}

/** A person's figures over a stretch; averages weigh by their readings, as the buckets' own do. */
export function summarise(pyramid: Pyramid, start: number, end: number): Summary | null {
  const { POSITIVE_INFINITY, NEGATIVE_INFINITY } = Number;
  const totals = { sum: 0, count: 0, low: POSITIVE_INFINITY, high: NEGATIVE_INFINITY };
  addUp(pyramid, start, end, totals);
  const { sum, count, low, high } = totals;
  return count > 0 ? { average: sum / count, low, high } : null;
}

/** The unbroken stretches of a line, as the first and the last instant of each that lie in a span. */
export function piecesOf(pyramid: Pyramid, span: Span): [number, number][] {
  const x = pyramid[0]?.first ?? new Float64Array();
  const begin = x[lowerBound(x, span.start)] ?? Number.POSITIVE_INFINITY;
  const end = x[lowerBound(x, span.end) - 1] ?? Number.NEGATIVE_INFINITY;
  const blocks = pyramid.at(-1);
  if (!blocks || begin > end) return [];
  const pieces: [number, number][] = [];
  let open: [number, number] | null = null;
  for (let i = lowerBound(blocks.last, begin); (blocks.first[i] ?? Number.NaN) <= end; i += 1) {
    if (!open) {
      open = [Math.max(begin, blocks.first[i] ?? begin), end];
      pieces.push(open);
    }
    open[1] = Math.min(end, blocks.last[i] ?? end);
    if (blocks.broken[i] === 1) open = null;
  }
  return pieces;
}
