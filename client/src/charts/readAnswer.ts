/** The server's answer as it came, made into what the chart draws: the worker's whole work, pure. */
import type { MultiSeries } from "../api/types";
import type { Span } from "../time/range";
import { onOwnClock } from "./ownClock";
import { buildPyramid, type Pyramid } from "./pyramid";
import { type Track, toTrack } from "./tracks";

/** What the answer was asked with, as far as reading it needs it. */
export interface Asked {
  people: readonly string[];
  zone: string;
  span: Span;
  /** Whether times are to be those of the zone's wall clock, counted as if it were UTC. */
  wall?: boolean;
}

export interface Reading {
  /** In the order in which the people were asked for. */
  tracks: Track[];
  pyramids: Pyramid[];
  interval: string;
  table: string;
  unit: string;
  points: number;
  missing: string[];
}

export function readAnswer(
  body: ArrayBuffer,
  { people, zone, span, wall = false }: Asked,
): Reading {
  const answer = JSON.parse(new TextDecoder().decode(body)) as MultiSeries;
  const order = (id: string) => people.indexOf(id);
  const series = [...answer.series].sort((a, b) => order(a.user_id) - order(b.user_id));
  const { interval } = answer;
  const tracks = series.map((one) => {
    const track = toTrack(one, interval, zone, span);
    return wall ? onOwnClock(track, interval, zone) : track;
  });
  return {
    tracks,
    pyramids: tracks.map(buildPyramid),
    interval,
    table: answer.table,
    unit: answer.unit,
    points: series.reduce((sum, one) => sum + one.count, 0),
    missing: answer.missing,
  };
}

/** The memory of a reading, each part once, so that it is handed over instead of copied. */
export function buffersOf(reading: Reading): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>();
  const parts: object[] = [...reading.tracks, ...reading.pyramids.flat()];
  for (const part of parts) {
    for (const column of Object.values(part)) {
      if (ArrayBuffer.isView(column)) found.add(column.buffer as ArrayBuffer);
    }
  }
  return [...found];
}
