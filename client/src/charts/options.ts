/** uPlot's options from what the page knows; no drawing happens here. */
import uPlot from "uplot";
import type { Span } from "../state/range";
import { type AlignedTrack, layoutOf } from "./align";
import { tickLabels } from "./labels";
import { type ChartTheme, lineColour, translucent } from "./palette";

/** Below this many CSS pixels a drag is a click. */
const MIN_DRAG_PX = 6;
/** Points at least this far apart are dotted, so that single readings can be seen. */
const DOT_SPACING_PX = 14;
/** A flat line still gets this many beats of height. */
const MIN_HEIGHT_BPM = 20;

export interface ChartInput {
  people: readonly { userId: string; slot: number }[];
  banded: boolean;
  theme: ChartTheme;
  zone: string;
  /** Read at the time of drawing, so that new data needs no new chart. */
  tracksNow: () => readonly AlignedTrack[];
  onSelect: (start: number, end: number) => void;
  onHover: (instant: number | null) => void;
  onDoubleClick: () => void;
}

/** Whether a track's points in view stand far enough apart to be dotted. */
function hasRoom(chart: uPlot, track: AlignedTrack): boolean {
  const { min, max } = chart.scales.x ?? {};
  const seen = (chart.data[0] ?? []).filter((at, i) => {
    return typeof track.value[i] === "number" && at >= (min ?? 0) && at <= (max ?? 0);
  });
  const [first, last] = [seen[0], seen.at(-1)];
  if (first === undefined || last === undefined) return true;
  const width = chart.valToPos(last, "x") - chart.valToPos(first, "x");
  return width >= DOT_SPACING_PX * (seen.length - 1);
}

/** Positions to dot: all points where there is room for everybody's, else those that stand alone. */
function dotsOf(chart: uPlot, tracks: readonly AlignedTrack[], index: number): number[] {
  const track = tracks[index];
  if (!track) return [];
  if (!tracks.every((one) => hasRoom(chart, one))) return track.alone;
  return track.value.flatMap((value, i) => (typeof value === "number" ? [i] : []));
}

function seriesOf(input: ChartInput): uPlot.Series[] {
  const count = input.people.length;
  const series: uPlot.Series[] = [{}];
  input.people.forEach((person, index) => {
    const colour = lineColour(input.theme, person.slot);
    const { high, low, value } = layoutOf(index, count, input.banded);
    for (const edge of [high, low]) {
      if (edge > 0) series[edge] = { width: 0, points: { show: false } };
    }
    series[value] = {
      label: person.userId,
      stroke: colour,
      width: 1.4,
      points: {
        size: 5,
        width: 0,
        fill: colour,
        show: () => false,
        filter: (chart) => dotsOf(chart, input.tracksNow(), index),
      },
    };
  });
  return series;
}

function bandsOf(input: ChartInput): uPlot.Band[] {
  if (!input.banded) return [];
  return input.people.map((person, index) => {
    const { high, low } = layoutOf(index, input.people.length, true);
    const fill = translucent(lineColour(input.theme, person.slot), input.theme.bandAlpha);
    return { series: [high, low], fill };
  });
}

function axesOf({ theme, zone }: ChartInput): uPlot.Axis[] {
  const font = "12px system-ui, sans-serif";
  const grid = { stroke: theme.grid, width: 1 };
  const shared = { stroke: theme.axis, font, grid, ticks: { show: false } };
  return [
    {
      ...shared,
      space: 84,
      size: 44,
      gap: 8,
      grid: { show: false },
      ticks: { stroke: theme.grid, width: 1, size: 5 },
      values: (_chart, ticks, _axis, _space, step) => tickLabels(ticks, step, zone),
    },
    { ...shared, size: 40, gap: 6, space: 44 },
  ];
}

/** Room above and below, on whole tens, and never a height that makes noise look like news. */
export function heightRange(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [40, 120];
  const lacking = Math.max(0, MIN_HEIGHT_BPM - (high - low)) / 2;
  const bottom = Math.floor((low - lacking - 2) / 10) * 10;
  return [Math.max(0, bottom), Math.ceil((high + lacking + 2) / 10) * 10];
}

export function chartOptions(
  input: ChartInput,
  size: { width: number; height: number },
  span: Span,
): uPlot.Options {
  // The bands' edges come first in the data; they are not to be marked under the cursor.
  const edges = input.banded ? 2 * input.people.length : 0;
  return {
    ...size,
    ms: 1,
    tzDate: (instant) => uPlot.tzDate(new Date(instant), input.zone),
    // To the right there is room for half of a date under the last tick.
    padding: [12, 34, 0, 0],
    legend: { show: false },
    series: seriesOf(input),
    bands: bandsOf(input),
    axes: axesOf(input),
    scales: {
      x: { time: true, auto: false, min: span.start, max: span.end },
      y: { range: (_chart, low, high) => heightRange(low, high) },
    },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PX },
      points: {
        size: (_chart, series) => (series > edges ? 9 : 0),
        width: (_chart, series) => (series > edges ? 2 : 0),
        stroke: () => input.theme.surface,
      },
      // A double click goes out again; uPlot's own meaning (reset the scales) has no place here.
      bind: {
        dblclick: () => () => {
          input.onDoubleClick();
          return null;
        },
      },
    },
    hooks: {
      setSelect: [
        (chart) => {
          const { left, width } = chart.select;
          if (width < MIN_DRAG_PX) return;
          input.onSelect(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [
        (chart) => {
          const { left } = chart.cursor;
          const over = left !== undefined && left !== null && left >= 0;
          input.onHover(over ? chart.posToVal(left, "x") : null);
        },
      ],
    },
  };
}
