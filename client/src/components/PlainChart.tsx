import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import { keepDrawing } from "../charts/drawings";
import { stretchLabel, tickLabels } from "../charts/labels";
import type { Ctx } from "../charts/paint";
import type { ChartTheme } from "../charts/palette";
import { digitsOf, type Scale, scaledRange, scaledTicks } from "../charts/ticks";
import { timeTicks, valueTicks } from "../figures/axis";
import {
  breaksAfter,
  extremesOf,
  heightOf,
  type Line,
  piecesOf,
  pointAt,
  xOf,
} from "../figures/line";
import { beatsLabel } from "../figures/words";
import { LOCALE } from "../locale";
import type { Span } from "../time/range";

export interface PlainChartProps {
  lines: readonly Line[];
  /** Of another metric than heart rate. */
  scale?: Scale | null;
  colourOf: (userId: string) => string;
  span: Span;
  zone: string;
  theme: ChartTheme;
  /** Without texts at the time axis. */
  bare?: boolean;
  /** What the picture shows, for those who cannot see it. */
  description: string;
  instant: number | null;
  onHover: (instant: number | null) => void;
}

const EDGE = { left: 42, right: 14, top: 12, bottom: 42 };
/** Below a plot whose times another one tells. */
const BARE_BOTTOM_PX = 12;
const FONT = "12px system-ui, sans-serif";
const TICK_PX = 96;
const ROW_PX = 44;
/** In a plot that is not high. */
const LOW_ROW_PX = 32;
const LOW_PLOT_PX = 200;
const DOT_PX = 2.5;
/** Points at least this far apart are dotted. */
const DOT_SPACING_PX = 12;

interface Frame {
  width: number;
  height: number;
  /** Where the time axis lies. */
  bottom: number;
  /** From time and value to pixels. */
  x: (at: number) => number;
  y: (value: number) => number;
}

function rangeOf({ lines, span, scale }: PlainChartProps): Span {
  if (!scale) return heightOf(lines, span);
  const [start, end] = scaledRange(extremesOf(lines, span), scale);
  return { start, end };
}

function frameOf(props: PlainChartProps, width: number, height: number): Frame {
  const { span, bare = false } = props;
  const range = rangeOf(props);
  const bottom = height - (bare ? BARE_BOTTOM_PX : EDGE.bottom);
  const inner = { width: width - EDGE.left - EDGE.right, height: bottom - EDGE.top };
  return {
    width,
    height,
    bottom,
    x: (at) => EDGE.left + ((at - span.start) / (span.end - span.start)) * inner.width,
    y: (value) => EDGE.top + inner.height * (1 - (value - range.start) / (range.end - range.start)),
  };
}

function drawAxes(to: CanvasRenderingContext2D, frame: Frame, props: PlainChartProps): void {
  const { theme, span, zone, scale, bare = false } = props;
  const { start, end } = rangeOf(props);
  const { bottom } = frame;
  to.font = FONT;
  to.fillStyle = theme.axis;
  to.strokeStyle = theme.grid;
  to.lineWidth = 1;
  to.textAlign = "right";
  to.textBaseline = "middle";
  to.beginPath();
  const high = bottom - EDGE.top;
  const rows = Math.floor(high / (high < LOW_PLOT_PX ? LOW_ROW_PX : ROW_PX));
  const values = scale ? scaledTicks(start, end, rows) : valueTicks({ start, end }, rows);
  for (const value of values) {
    const y = Math.round(frame.y(value)) + 0.5;
    to.moveTo(EDGE.left, y);
    to.lineTo(frame.width - EDGE.right, y);
    to.fillText(value.toLocaleString(LOCALE), EDGE.left - 8, y);
  }
  const { at, stepMs } = timeTicks(span, Math.floor(frame.width / TICK_PX), zone);
  const labels = bare ? [] : tickLabels(at, stepMs, zone);
  to.textAlign = "center";
  to.textBaseline = "top";
  at.forEach((tick, i) => {
    const x = Math.round(frame.x(tick)) + 0.5;
    to.moveTo(x, bottom);
    to.lineTo(x, bottom + 5);
    labels[i]?.split("\n").forEach((text, row) => {
      const half = to.measureText(text).width / 2;
      const inside = Math.min(Math.max(x, half + 2), frame.width - half - 2);
      to.fillText(text, inside, bottom + 11 + 15 * row);
    });
  });
  to.stroke();
}

function drawLine(to: CanvasRenderingContext2D, frame: Frame, line: Line, colour: string): void {
  const count = line.from.length;
  const room =
    frame.x(xOf(line, count - 1)) - frame.x(xOf(line, 0)) >= DOT_SPACING_PX * (count - 1);
  to.strokeStyle = colour;
  to.fillStyle = colour;
  to.lineWidth = 1.6;
  to.lineJoin = "round";
  to.beginPath();
  let begun = false;
  const dots: [number, number][] = [];
  line.value.forEach((value, i) => {
    const [x, y] = [frame.x(xOf(line, i)), frame.y(value)];
    if (begun) to.lineTo(x, y);
    else to.moveTo(x, y);
    const breaks = breaksAfter(line, i);
    if (room || (!begun && breaks)) dots.push([x, y]);
    begun = !breaks;
  });
  to.stroke();
  to.beginPath();
  for (const [x, y] of dots) {
    to.moveTo(x + DOT_PX, y);
    to.arc(x, y, DOT_PX, 0, 2 * Math.PI);
  }
  to.fill();
}

function drawCursor(to: CanvasRenderingContext2D, frame: Frame, props: PlainChartProps): void {
  const { instant, theme, lines, colourOf } = props;
  if (instant === null) return;
  const x = Math.round(frame.x(instant)) + 0.5;
  to.strokeStyle = theme.axis;
  to.lineWidth = 1;
  to.beginPath();
  to.moveTo(x, EDGE.top);
  to.lineTo(x, frame.bottom);
  to.stroke();
  for (const line of lines) {
    const index = pointAt(line, instant);
    if (index === null) continue;
    to.fillStyle = colourOf(line.userId);
    to.beginPath();
    to.arc(frame.x(xOf(line, index)), frame.y(line.value[index] ?? 0), 4.5, 0, 2 * Math.PI);
    to.fill();
  }
}

function draw(canvas: HTMLCanvasElement, props: PlainChartProps): void {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const to = canvas.getContext("2d");
  if (!to || width === 0) return;
  to.setTransform(ratio, 0, 0, ratio, 0, 0);
  to.clearRect(0, 0, width, height);
  drawLines(to, props, width, height);
}

function drawLines(
  to: CanvasRenderingContext2D,
  props: PlainChartProps,
  width: number,
  height: number,
): void {
  const frame = frameOf(props, width, height);
  drawAxes(to, frame, props);
  to.save();
  to.beginPath();
  to.rect(EDGE.left, 0, width - EDGE.left - EDGE.right + DOT_PX, frame.bottom);
  to.clip();
  for (const line of props.lines) drawLine(to, frame, line, props.colourOf(line.userId));
  drawCursor(to, frame, props);
  to.restore();
}

interface Pointer {
  x: number;
  y: number;
  /** Of the chart. */
  width: number;
}

const TIP_PX = 14;

/** What the lines say at the pointer, on the side of it where there is room. */
function Tip({ chart, pointer }: { chart: PlainChartProps; pointer: Pointer }) {
  const { lines, instant, zone, colourOf, scale = null } = chart;
  const points = lines.flatMap((line) => {
    const index = instant === null ? null : pointAt(line, instant);
    return index === null ? [] : [{ line, index }];
  });
  const said = (value: number) => (scale ? value.toFixed(digitsOf(scale)) : beatsLabel(value));
  const [first] = points;
  if (!first) return null;
  const start = first.line.from[first.index] ?? 0;
  const end = first.line.to[first.index] ?? start;
  const left = pointer.x > pointer.width / 2;
  const across = left ? `calc(${pointer.x - TIP_PX}px - 100%)` : `${pointer.x + TIP_PX}px`;
  const style = {
    transform: `translate(${across}, max(0px, calc(${pointer.y}px - 100%)))`,
    visibility: "visible" as const,
  };
  return (
    <div className="chart-tip" aria-hidden="true" style={style}>
      <p className="faint">{stretchLabel({ start, end }, zone)}</p>
      {points.map(({ line, index }) => (
        <p key={line.userId}>
          <span className="legend-swatch" style={{ background: colourOf(line.userId) }} />
          <strong>{said(line.value[index] ?? 0)}</strong>
        </p>
      ))}
    </div>
  );
}

/** Lines over time with a cross-hair: for what is looked at and not travelled in. */
export function PlainChart(props: PlainChartProps) {
  const { lines, span, onHover } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [size, setSize] = useState(0);
  const [pointer, setPointer] = useState<Pointer | null>(null);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setSize(element.clientWidth * element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another size is drawn anew.
  useEffect(() => {
    if (!canvas.current) return;
    draw(canvas.current, props);
    const { clientWidth: width, clientHeight: height } = canvas.current;
    const host = canvas.current.closest(".chart");
    const still = { ...props, instant: null };
    const drawing = (ctx: Ctx) => drawLines(ctx as CanvasRenderingContext2D, still, width, height);
    if (host) keepDrawing(host, { size: { width, height }, draw: drawing });
  }, [props, size]);
  const pieces = useMemo(() => {
    return JSON.stringify(
      Object.fromEntries(lines.map((line) => [line.userId, piecesOf(line, span)])),
    );
  }, [lines, span]);
  const onMove = (event: PointerEvent<HTMLCanvasElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setPointer({ x: event.clientX - box.left, y: event.clientY - box.top, width: box.width });
    const inner = box.width - EDGE.left - EDGE.right;
    const at = (event.clientX - box.left - EDGE.left) / inner;
    onHover(at >= 0 && at <= 1 ? span.start + at * (span.end - span.start) : null);
  };
  return (
    <div
      className="chart plain-chart"
      role="img"
      aria-label={props.description}
      data-pieces={pieces}
    >
      <canvas
        ref={canvas}
        className="plain-canvas"
        onPointerMove={onMove}
        onPointerLeave={() => {
          setPointer(null);
          onHover(null);
        }}
      />
      {pointer && props.instant !== null && <Tip chart={props} pointer={pointer} />}
    </div>
  );
}
