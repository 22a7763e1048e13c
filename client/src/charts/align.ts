/** Tracks of several people on one time axis, as uPlot draws them. */
import { gapAfter, type Track } from "./tracks";

/** A number is drawn; null breaks the line; undefined is somebody else's instant, passed over. */
export type Cell = number | null | undefined;

export interface Aligned {
  /** Rising, without doubles, in milliseconds. */
  x: number[];
  tracks: AlignedTrack[];
}

export interface AlignedTrack {
  userId: string;
  value: Cell[];
  low: Cell[];
  high: Cell[];
  /** Positions of points with a break on both sides: no line shows them, so a dot must. */
  alone: number[];
}

/** Where a break is drawn: halfway between the two points it parts. */
function breakAt(track: Track, index: number): number {
  return ((track.x[index] ?? 0) + (track.x[index + 1] ?? 0)) / 2;
}

function allInstants(tracks: readonly Track[]): number[] {
  const instants = new Set<number>();
  for (const track of tracks) {
    track.x.forEach((x, i) => {
      instants.add(x);
      if (gapAfter(track, i)) instants.add(breakAt(track, i));
    });
  }
  return [...instants].sort((a, b) => a - b);
}

function alignOne(
  track: Track,
  length: number,
  indexOf: ReadonlyMap<number, number>,
): AlignedTrack {
  const blank = (): Cell[] => new Array<Cell>(length).fill(undefined);
  const out = { userId: track.userId, value: blank(), low: blank(), high: blank() };
  const alone: number[] = [];
  let brokenBefore = true;
  track.x.forEach((x, i) => {
    const at = indexOf.get(x) ?? 0;
    out.value[at] = track.value[i] ?? null;
    out.low[at] = track.low[i] ?? null;
    out.high[at] = track.high[i] ?? null;
    const broken = gapAfter(track, i);
    if (broken) {
      // The break takes in the others' instants too, or the line would run on up to them.
      const next = indexOf.get(track.x[i + 1] ?? x) ?? at;
      for (const cells of [out.value, out.low, out.high]) cells.fill(null, at + 1, next);
    }
    if (brokenBefore && (broken || i === track.x.length - 1)) alone.push(at);
    brokenBefore = broken;
  });
  return { ...out, alone };
}

export function align(tracks: readonly Track[]): Aligned {
  const x = allInstants(tracks);
  const indexOf = new Map(x.map((instant, index) => [instant, index]));
  return { x, tracks: tracks.map((track) => alignOne(track, x.length, indexOf)) };
}

/** The unbroken stretches of a line, as the first and the last instant of each. */
export function piecesOf(x: readonly number[], cells: readonly Cell[]): [number, number][] {
  const pieces: [number, number][] = [];
  let open: [number, number] | null = null;
  cells.forEach((cell, i) => {
    const at = x[i] ?? 0;
    if (cell === null) open = null;
    if (typeof cell !== "number") return;
    if (open) open[1] = at;
    else {
      open = [at, at];
      pieces.push(open);
    }
  });
  return pieces;
}

/** Where a track's series lie in uPlot's data: bands first, so that every line is above them. */
export interface Layout {
  high: number;
  low: number;
  value: number;
}

export function layoutOf(index: number, people: number, banded: boolean): Layout {
  if (!banded) return { high: -1, low: -1, value: 1 + index };
  return { high: 1 + 2 * index, low: 2 + 2 * index, value: 1 + 2 * people + index };
}

export function toTable(aligned: Aligned, banded: boolean): [number[], ...Cell[][]] {
  const bands = banded ? aligned.tracks.flatMap((track) => [track.high, track.low]) : [];
  return [aligned.x, ...bands, ...aligned.tracks.map((track) => track.value)];
}
