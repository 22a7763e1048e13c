/** Everything a picture is made of, in pixels: worked out here, painted elsewhere. */
import { nightsIn } from "../time/civil";
import type { Span } from "../time/range";
import { type Columns, decimate, extremes } from "./decimate";
import { tickLabels } from "./labels";
import { type Marker, type PlacedMarkers, placedMarkers } from "./markers";
import type { Pyramid } from "./pyramid";
import { heightRange, type Scale, scaledRange, scaledTicks, timeTicks, valueTicks } from "./ticks";

/** Room for the axes' texts around the plot, in CSS pixels. */
export const MARGIN = { left: 42, right: 14, top: 12, bottom: 42 };
/** Below a plot whose times another one tells; the lowest value's text reaches into it. */
const BARE_BOTTOM_PX = 12;
/** Room that a mark's text takes. */
const TIME_LABEL_PX = 84;
const VALUE_LABEL_PX = 44;
/** In a plot that is not high, so that it has more than two marks. */
const LOW_VALUE_LABEL_PX = 32;
const LOW_PLOT_PX = 200;

export interface Size {
  width: number;
  height: number;
}

export interface Line {
  userId: string;
  pyramid: Pyramid;
  colour: string;
}

/** A person's resting heart rate on one day. */
export interface RestingDay extends Span {
  userId: string;
  value: number;
}

export interface Zone {
  name: string;
  /** In beats; `max` belongs to it. */
  min: number;
  max: number;
}

export interface Layers {
  resting: readonly RestingDay[];
  zones: readonly Zone[];
  markers: readonly Marker[];
}

export const NO_LAYERS: Layers = { resting: [], zones: [], markers: [] };

export interface SceneInput {
  lines: readonly Line[];
  layers: Layers;
  /** Of another metric than heart rate. */
  scale?: Scale | null;
  span: Span;
  zone: string;
  size: Size;
  /** Without texts at the time axis: another chart over the same times has them. */
  bare?: boolean;
  /** The reader's language; the browser's by default. */
  locale?: string;
}

export interface Mark {
  at: number;
  text: string;
}

export interface Scene {
  plot: { left: number; top: number; width: number; height: number };
  lines: { userId: string; colour: string; columns: Columns }[];
  values: readonly [number, number];
  timeMarks: Mark[];
  valueMarks: Mark[];
  /** Where it is night by the clock of the zone; none where they would be too narrow to tell anything. */
  nights: { left: number; right: number }[];
  resting: { colour: string; left: number; right: number; y: number }[];
  zones: { name: string; top: number; bottom: number; rank: number }[];
  markers: PlacedMarkers;
}

export function plotOf({ width, height }: Size, bare = false): Scene["plot"] {
  const bottom = bare ? BARE_BOTTOM_PX : MARGIN.bottom;
  return {
    left: MARGIN.left,
    top: MARGIN.top,
    width: Math.max(1, width - MARGIN.left - MARGIN.right),
    height: Math.max(1, height - MARGIN.top - bottom),
  };
}

/** Where an instant lies, in pixels from the plot's left edge. */
export function xOf(instant: number, span: Span, width: number): number {
  return ((instant - span.start) / (span.end - span.start)) * width;
}

/** Where a value lies, in pixels from the plot's top. */
export function yOf(value: number, [low, high]: readonly [number, number], height: number): number {
  return height - ((value - low) / (high - low)) * height;
}

function inView(span: Span) {
  return (one: Span) => one.start < span.end && one.end > span.start;
}

/** The extremes of the lines and of the resting heart rates, so that both are seen. */
function seenValues(lines: Scene["lines"], resting: readonly RestingDay[], width: number) {
  const seen = extremes(
    lines.map((line) => line.columns),
    width,
  );
  if (!seen) return null;
  const values = resting.map((day) => day.value);
  return [Math.min(seen[0], ...values), Math.max(seen[1], ...values)] as const;
}

/** Nights of more days than this are stripes. */
const MOST_NIGHTS_MS = 32 * 86_400_000;

function nightsOf(span: Span, zone: string, width: number): Scene["nights"] {
  if (span.end - span.start > MOST_NIGHTS_MS) return [];
  return nightsIn(span, zone).map((night) => ({
    left: Math.max(0, xOf(night.start, span, width)),
    right: Math.min(width, xOf(night.end, span, width)),
  }));
}

export function sceneOf(input: SceneInput): Scene {
  const { lines, layers, scale, span, zone, size, bare = false, locale } = input;
  const plot = plotOf(size, bare);
  const frame = { ...span, width: plot.width };
  const drawn = lines.map(({ userId, colour, pyramid }) => {
    return { userId, colour, columns: decimate(pyramid, frame) };
  });
  const colours = new Map(lines.map((line) => [line.userId, line.colour]));
  const days = layers.resting.filter(inView(span)).filter((day) => colours.has(day.userId));
  const seen = seenValues(drawn, days, plot.width);
  const values = scale ? scaledRange(seen, scale) : heightRange(seen);
  const y = (value: number) => yOf(value, values, plot.height);
  const ticks = timeTicks(span, zone, ((span.end - span.start) * TIME_LABEL_PX) / plot.width);
  const texts = bare ? [] : tickLabels(ticks.at, ticks.step, zone, locale);
  const valueLabelPx = plot.height < LOW_PLOT_PX ? LOW_VALUE_LABEL_PX : VALUE_LABEL_PX;
  return {
    plot,
    lines: drawn,
    values,
    timeMarks: ticks.at.map((at, i) => ({ at: xOf(at, span, plot.width), text: texts[i] ?? "" })),
    valueMarks: (scale ? scaledTicks : valueTicks)(...values, plot.height / valueLabelPx).map(
      (value) => {
        return { at: y(value), text: String(value) };
      },
    ),
    nights: nightsOf(span, zone, plot.width),
    resting: days.map((day) => ({
      colour: colours.get(day.userId) ?? "",
      left: Math.max(0, xOf(day.start, span, plot.width)),
      right: Math.min(plot.width, xOf(day.end, span, plot.width)),
      y: y(day.value),
    })),
    zones: layers.zones.flatMap(({ name, min, max }, rank) => {
      const top = Math.max(0, y(max));
      const bottom = Math.min(plot.height, y(min));
      return bottom > top ? [{ name, top, bottom, rank }] : [];
    }),
    markers: placedMarkers(layers.markers, span, plot.width),
  };
}
