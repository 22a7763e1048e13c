/** Puts a scene on a canvas; nothing is decided here but how it looks. */
import type { Columns } from "./decimate";
import type { MarkerKind } from "./markers";
import { type ChartTheme, translucent, zoneColour } from "./palette";
import { type Scene, type Size, yOf } from "./scene";

const FONT = "12px system-ui, sans-serif";
const LINE_PX = 1.4;
const DOT_PX = 2.5;
/** Points at least this far apart are dotted, so that single readings can be seen. */
const DOT_SPACING_PX = 14;
/** As wide is the bar of a point that stands alone. */
const ALONE_PX = 2;
/** A stretch this narrow is a bar as well. */
const NARROW_PX = 4;
const ZONE_ALPHA = 0.22;
/** Stretches of signals lie below those of notes, and shapes of moments below both. */
const BAND_PX = 5;
const BAND_TOPS: Partial<Record<MarkerKind, number>> = { signal: BAND_PX + 1 };
const FLAG_TOP_PX = 2 * BAND_PX + 3;
const FLAG_PX = 10;
const BAND_ALPHA = 0.65;
const STEM_ALPHA = 0.5;

export type Ctx = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
type Height = (value: number) => number;

/** The stretches of columns without a break, as [first, last]. */
function* stretches(columns: Columns): Generator<[number, number]> {
  let first = 0;
  for (let i = 0; i < columns.length; i += 1) {
    if (i < columns.length - 1 && columns.broken[i] === 0) continue;
    yield [first, i];
    first = i + 1;
  }
}

export function paintBand(ctx: Ctx, columns: Columns, y: Height): void {
  ctx.beginPath();
  for (const [first, last] of stretches(columns)) {
    if (first === last) continue;
    ctx.moveTo(columns.x[first] ?? 0, y(columns.high[first] ?? 0));
    for (let i = first + 1; i <= last; i += 1) {
      ctx.lineTo(columns.x[i] ?? 0, y(columns.high[i] ?? 0));
    }
    for (let i = last; i >= first; i -= 1) ctx.lineTo(columns.x[i] ?? 0, y(columns.low[i] ?? 0));
    ctx.closePath();
  }
  ctx.fill();
}

export function paintLine(ctx: Ctx, columns: Columns, y: Height): void {
  ctx.beginPath();
  for (const [first, last] of stretches(columns)) {
    ctx.moveTo(columns.x[first] ?? 0, y(columns.average[first] ?? 0));
    for (let i = first + 1; i <= last; i += 1) {
      ctx.lineTo(columns.x[i] ?? 0, y(columns.average[i] ?? 0));
    }
  }
  ctx.stroke();
}

/** What stands alone, too narrow for a band or a line to show: a bar from its lowest to its highest value. */
export function paintAlone(ctx: Ctx, columns: Columns, y: Height): void {
  ctx.beginPath();
  for (const [first, last] of stretches(columns)) {
    const [left, right] = [columns.x[first] ?? 0, columns.x[last] ?? 0];
    if (right - left > NARROW_PX) continue;
    let [low, high] = [columns.low[first] ?? 0, columns.high[first] ?? 0];
    for (let i = first + 1; i <= last; i += 1) {
      low = Math.min(low, columns.low[i] ?? low);
      high = Math.max(high, columns.high[i] ?? high);
    }
    const [middle, half] = [(y(low) + y(high)) / 2, Math.max(ALONE_PX, y(low) - y(high)) / 2];
    ctx.rect(left - ALONE_PX / 2, middle - half, right - left + ALONE_PX, 2 * half);
  }
  ctx.fill();
}

/** Dots where there is room for everybody's, else where no line shows a point that stands alone. */
function paintDots(ctx: Ctx, columns: Columns, y: Height, all: boolean): void {
  ctx.beginPath();
  for (const [first, last] of stretches(columns)) {
    if (!all && first !== last) continue;
    for (let i = first; i <= last; i += 1) {
      const [x, height] = [columns.x[i] ?? 0, y(columns.average[i] ?? 0)];
      ctx.moveTo(x + DOT_PX, height);
      ctx.arc(x, height, DOT_PX, 0, 2 * Math.PI);
    }
  }
  ctx.fill();
}

function hasRoom(columns: Columns): boolean {
  const width = (columns.x[columns.length - 1] ?? 0) - (columns.x[0] ?? 0);
  return width >= DOT_SPACING_PX * (columns.length - 1);
}

function paintAxes(ctx: Ctx, { plot, timeMarks, valueMarks }: Scene, theme: ChartTheme): void {
  ctx.font = FONT;
  ctx.fillStyle = theme.axis;
  ctx.strokeStyle = theme.grid;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const { at, text } of valueMarks) {
    const y = Math.round(plot.top + at) + 0.5;
    ctx.moveTo(plot.left, y);
    ctx.lineTo(plot.left + plot.width, y);
    ctx.fillText(text, plot.left - 8, y);
  }
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  const bottom = plot.top + plot.height;
  for (const { at, text } of timeMarks) {
    const x = Math.round(plot.left + at) + 0.5;
    ctx.moveTo(x, bottom);
    ctx.lineTo(x, bottom + 5);
    // A text that would be cut off at the edge is left out rather than half shown.
    text.split("\n").forEach((line, row) => {
      const half = ctx.measureText(line).width / 2;
      const middle = Math.min(Math.max(x, half + 2), plot.left + plot.width + 12 - half);
      ctx.fillText(line, middle, bottom + 11 + row * 15);
    });
  }
  ctx.stroke();
}

function paintNights(ctx: Ctx, { plot, nights }: Scene, theme: ChartTheme): void {
  ctx.fillStyle = theme.night;
  for (const { left, right } of nights) ctx.fillRect(left, 0, right - left, plot.height);
}

function paintZones(ctx: Ctx, { plot, zones }: Scene, theme: ChartTheme): void {
  for (const { top, bottom, rank } of zones) {
    const colour = zoneColour(theme, rank);
    if (colour === null) continue;
    ctx.fillStyle = translucent(colour, ZONE_ALPHA);
    ctx.fillRect(0, top, plot.width, bottom - top);
  }
}

/** Above the lines, each with a rim in the colour of the ground, so that no line runs through it. */
function paintZoneNames(ctx: Ctx, { plot, zones }: Scene, theme: ChartTheme): void {
  ctx.font = FONT;
  ctx.textAlign = "right";
  ctx.textBaseline = "top";
  ctx.lineWidth = 4;
  ctx.lineJoin = "round";
  ctx.strokeStyle = theme.surface;
  ctx.fillStyle = theme.axis;
  for (const { name, top, bottom } of zones) {
    if (bottom - top < 16) continue;
    ctx.strokeText(name, plot.width - 6, top + 3);
    ctx.fillText(name, plot.width - 6, top + 3);
  }
}

function paintResting(ctx: Ctx, { resting }: Scene): void {
  ctx.lineWidth = 2;
  ctx.setLineDash([6, 4]);
  for (const { colour, left, right, y } of resting) {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}

/** Each kind's shape at the top of a moment's line, so that colour is not all that tells them apart. */
function flagPath(ctx: Ctx, kind: MarkerKind, x: number): void {
  const [half, top] = [FLAG_PX / 2, FLAG_TOP_PX];
  ctx.beginPath();
  if (kind === "signal") {
    ctx.moveTo(x + half, top + half);
    ctx.arc(x, top + half, half, 0, 2 * Math.PI);
    return;
  }
  const corners = {
    note: [0, 0, FLAG_PX, half, 0, FLAG_PX],
    device: [0, 0, half, half, 0, FLAG_PX, -half, half],
    source: [-half, 0, half, 0, 0, FLAG_PX],
    import: [-half, 0, half, 0, half, FLAG_PX, -half, FLAG_PX],
  }[kind];
  for (let i = 0; i < corners.length; i += 2) {
    const [right = 0, down = 0] = [corners[i], corners[i + 1]];
    if (i === 0) ctx.moveTo(x + right, top + down);
    else ctx.lineTo(x + right, top + down);
  }
  ctx.closePath();
}

function paintMarkers(ctx: Ctx, { plot, markers }: Scene, theme: ChartTheme): void {
  for (const { kind, left, right } of markers.bands) {
    ctx.fillStyle = translucent(theme.markers[kind], BAND_ALPHA);
    ctx.fillRect(left, BAND_TOPS[kind] ?? 0, right - left, BAND_PX);
  }
  ctx.font = FONT;
  ctx.textAlign = "left";
  ctx.textBaseline = "top";
  for (const { kind, at, count } of markers.flags) {
    const x = Math.round(at) + 0.5;
    ctx.lineWidth = 1;
    ctx.strokeStyle = translucent(theme.markers[kind], STEM_ALPHA);
    ctx.beginPath();
    ctx.moveTo(x, 0);
    ctx.lineTo(x, plot.height);
    ctx.stroke();
    ctx.fillStyle = theme.markers[kind];
    flagPath(ctx, kind, x);
    ctx.fill();
    if (count === 1) continue;
    ctx.lineWidth = 3;
    ctx.strokeStyle = theme.surface;
    ctx.strokeText(String(count), x + FLAG_PX + 3, FLAG_TOP_PX - 1);
    ctx.fillText(String(count), x + FLAG_PX + 3, FLAG_TOP_PX - 1);
  }
}

/** Bands first, so that every line is above them. */
function paintLines(ctx: Ctx, { lines, values, plot }: Scene, theme: ChartTheme): void {
  const y = (value: number) => yOf(value, values, plot.height);
  for (const { colour, columns } of lines) {
    ctx.fillStyle = translucent(colour, theme.bandAlpha);
    paintBand(ctx, columns, y);
  }
  ctx.lineWidth = LINE_PX;
  ctx.lineJoin = "bevel";
  const room = lines.every((line) => hasRoom(line.columns));
  for (const { colour, columns } of lines) {
    ctx.strokeStyle = colour;
    ctx.fillStyle = colour;
    paintLine(ctx, columns, y);
    paintDots(ctx, columns, y, room);
    paintAlone(ctx, columns, y);
  }
}

export function paint(ctx: Ctx, scene: Scene, theme: ChartTheme): void {
  const { plot } = scene;
  ctx.save();
  ctx.translate(plot.left, plot.top);
  paintNights(ctx, scene, theme);
  ctx.restore();
  paintAxes(ctx, scene, theme);
  ctx.save();
  ctx.beginPath();
  ctx.rect(plot.left, plot.top, plot.width, plot.height);
  ctx.clip();
  ctx.translate(plot.left, plot.top);
  paintZones(ctx, scene, theme);
  paintLines(ctx, scene, theme);
  paintResting(ctx, scene);
  paintMarkers(ctx, scene, theme);
  paintZoneNames(ctx, scene, theme);
  ctx.restore();
}

/** A canvas in step with its place on the page and the screen's pixels, cleared. */
export function freshContext(
  canvas: HTMLCanvasElement | OffscreenCanvas,
  { width, height }: Size,
  ratio: number,
): Ctx | null {
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const ctx = canvas.getContext("2d") as Ctx | null;
  ctx?.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx?.clearRect(0, 0, width, height);
  return ctx;
}
