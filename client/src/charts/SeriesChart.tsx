import {
  type KeyboardEvent,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import type { Span } from "../time/range";
import { keepDrawing } from "./drawings";
import { bindGestures, type GestureHost } from "./gestures";
import { rangeText, spanLabel, stretchLabel, valueText } from "./labels";
import { type Marker, type MarkerCommand, markerCommandOf, markersIn } from "./markers";
import { type Command, commandOf, type Fingers } from "./motion";
import { freshContext, paint } from "./paint";
import { Painter } from "./painter";
import type { ChartTheme } from "./palette";
import { piecesOf } from "./pyramid";
import { type Layers, type Line, plotOf, type Scene, sceneOf, xOf, yOf } from "./scene";
import { digitsOf, type Scale } from "./ticks";
import { pointAt, type Track } from "./tracks";
import { useCanvas } from "./useCanvas";
import { useRested, type Viewport } from "./viewport";

export interface SeriesChartProps {
  viewport: Viewport;
  tracks: readonly Track[];
  lines: readonly Line[];
  layers: Layers;
  /** Of another metric than heart rate. */
  scale?: Scale | null;
  zone: string;
  theme: ChartTheme;
  latest: number;
  /** Without texts at the time axis. */
  bare?: boolean;
  /** What the picture shows, for those who cannot see it. */
  description: string;
  /** The id of the text that says which keys there are. */
  helpId: string;
  /** Where the cross-hair stands; null when there is none. */
  instant: number | null;
  onRest: (span: Span, from: Span) => void;
  onMarked: (span: Span) => void;
  /** Whose line is whose, for the values at the pointer. */
  nameOf: (userId: string) => string;
  unit: string;
  onHover: (instant: number | null) => void;
  onOut: () => void;
  onCommand: (command: Command) => void;
  /** The marks at the cross-hair, and what keys and clicks do with marks; absent where there are none. */
  pointed?: readonly Marker[];
  onMarkerCommand?: (command: MarkerCommand) => void;
  /** The plot was tapped or clicked, so far below the chart's top edge. */
  onTap?: (instant: number, y: number) => void;
}

const HIT_PX = 4.5;

/** The cross-hair, on a canvas of its own, so that the picture below needs no new drawing. */
function paintCursor(canvas: HTMLCanvasElement, scene: Scene, props: SeriesChartProps): void {
  const { instant, tracks, theme, viewport } = props;
  const { plot, values } = scene;
  canvas.hidden = instant === null;
  if (instant === null) return;
  const size = { width: canvas.clientWidth, height: canvas.clientHeight };
  const ctx = freshContext(canvas, size, window.devicePixelRatio || 1);
  if (!ctx) return;
  const at = xOf(instant, viewport.span, plot.width);
  if (at < 0 || at > plot.width) return;
  ctx.translate(plot.left, plot.top);
  ctx.strokeStyle = theme.axis;
  ctx.beginPath();
  ctx.moveTo(Math.round(at) + 0.5, 0);
  ctx.lineTo(Math.round(at) + 0.5, plot.height);
  ctx.stroke();
  for (const { userId, colour } of scene.lines) {
    const track = tracks.find((one) => one.userId === userId);
    const index = track ? pointAt(track, instant) : null;
    const value = index === null ? undefined : track?.value[index];
    if (index === null || value === undefined) continue;
    const x = xOf(track?.x[index] ?? instant, viewport.span, plot.width);
    if (x < 0 || x > plot.width) continue;
    ctx.beginPath();
    ctx.arc(x, yOf(value, values, plot.height), HIT_PX, 0, 2 * Math.PI);
    ctx.fillStyle = colour;
    ctx.fill();
    ctx.strokeStyle = theme.surface;
    ctx.lineWidth = 2;
    ctx.stroke();
  }
}

/** So far from the pointer stand its values. */
const TIP_PX = 14;

/** Beside the pointer, on the side where there is room; at the top where the cross-hair is moved otherwise. */
function placeTip(
  tip: HTMLDivElement,
  { plot }: Scene,
  { instant, viewport }: SeriesChartProps,
  pointerY: number | null,
): void {
  const at = instant === null ? -1 : xOf(instant, viewport.span, plot.width);
  tip.style.visibility = at < 0 || at > plot.width ? "hidden" : "visible";
  const { offsetWidth: width, offsetHeight: height } = tip;
  const right = plot.left + at + TIP_PX;
  const left = right + width > plot.left + plot.width ? right - width - 2 * TIP_PX : right;
  const wanted = pointerY === null ? plot.top : pointerY - height - TIP_PX;
  const top = Math.max(plot.top, Math.min(wanted, plot.top + plot.height - height));
  tip.style.transform = `translate(${Math.max(0, left)}px, ${top}px)`;
}

/** The texts of so many marks stand at the pointer. */
const MOST_TEXTS = 4;

function MarkerTexts({ markers, zone }: { markers: readonly Marker[]; zone: string }) {
  const more = markers.length - MOST_TEXTS;
  return (
    <>
      {markers.slice(0, MOST_TEXTS).map(({ id, kind, start, end, text }) => (
        <p key={`${kind} ${id}`} className="chart-tip-mark" data-kind={kind}>
          <span className="chart-tip-text">{text}</span>
          {end !== null && (
            <span className="faint">
              {kind === "signal"
                ? `since ${stretchLabel({ start, end: start }, zone)}`
                : spanLabel({ start, end }, zone)}
            </span>
          )}
        </p>
      ))}
      {more > 0 && <p className="faint">and {more} more</p>}
    </>
  );
}

/** What everybody's line says at the cross-hair, and what is marked there. Whoever cannot see it has the legend and what is spoken. */
function Tip(props: {
  ref: RefObject<HTMLDivElement | null>;
  chart: SeriesChartProps;
  instant: number;
}) {
  const { lines, tracks, zone, nameOf, unit, scale = null, pointed } = props.chart;
  const { instant } = props;
  const digits = digitsOf(scale);
  const points = lines.map(({ userId, colour }) => {
    const track = tracks.find((one) => one.userId === userId);
    const index = track ? pointAt(track, instant) : null;
    return { userId, colour, track, index };
  });
  const [found] = points.filter(({ index }) => index !== null);
  const start = found?.track?.from[found.index ?? 0] ?? instant;
  const end = found?.track?.to[found.index ?? 0] ?? start;
  return (
    <div ref={props.ref} className="chart-tip" aria-hidden="true">
      <p className="faint">{stretchLabel({ start, end }, zone)}</p>
      {points.map(({ userId, colour, track, index }) => {
        const [value, low = 0, high = 0] = [track?.value, track?.low, track?.high].map((all) => {
          return index === null ? undefined : all?.[index];
        });
        return (
          <p key={userId}>
            <span className="legend-swatch" style={{ background: colour }} />
            {lines.length > 1 && <span className="chart-tip-name">{nameOf(userId)}</span>}
            {value === undefined ? (
              <span className="faint">no reading</span>
            ) : (
              <>
                <strong>{valueText(value, digits)}</strong> {unit}{" "}
                <span className="faint">{rangeText(low, high, digits)}</span>
              </>
            )}
          </p>
        );
      })}
      {pointed && <MarkerTexts markers={pointed} zone={zone} />}
    </div>
  );
}

/** What was drawn, for tests and other programs, which cannot read it off a canvas. */
function piecesText(lines: readonly Line[], span: Span): string {
  return JSON.stringify(
    Object.fromEntries(lines.map(({ userId, pyramid }) => [userId, piecesOf(pyramid, span)])),
  );
}

/** Draws the tracks; everything it draws comes from the pure modules beside it. */
export function SeriesChart(props: SeriesChartProps) {
  const { viewport, lines, layers, scale = null, zone, theme, bare = false } = props;
  const host = useRef<HTMLDivElement>(null);
  const painter = useRef<Painter | null>(null);
  const cursor = useRef<HTMLCanvasElement>(null);
  const painted = useRef<{ parts: unknown[]; scene: Scene } | null>(null);
  const [marked, setMarked] = useState<Fingers | null>(null);
  const tip = useRef<HTMLDivElement>(null);
  const pointerY = useRef<number | null>(null);
  const latest = useRef(props);
  latest.current = props;

  // The canvas is made here and not by React: one that was handed to a painter is of no use to another.
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const canvas = document.createElement("canvas");
    canvas.className = "chart-canvas";
    element.prepend(canvas);
    const made = new Painter(canvas, () => {
      element.dataset.painted = "";
    });
    painter.current = made;
    painted.current = null;
    return () => {
      made.stop();
      canvas.remove();
      painter.current = null;
    };
  }, []);

  useCanvas(host, viewport, (size) => {
    if (!painter.current || !cursor.current) return;
    // Where only the cross-hair has moved, the picture stays.
    const { width, height } = size;
    const parts = [lines, layers, scale, viewport.span, zone, theme, bare, width, height];
    if (!painted.current || parts.some((part, i) => part !== painted.current?.parts[i])) {
      const scene = sceneOf({ lines, layers, scale, span: viewport.span, zone, size, bare });
      delete host.current?.dataset.painted;
      painter.current.paint(scene, theme, size);
      painted.current = { parts, scene };
      if (host.current)
        keepDrawing(host.current, { size, draw: (ctx) => paint(ctx, scene, theme) });
    }
    const { scene } = painted.current;
    paintCursor(cursor.current, scene, latest.current);
    if (tip.current) placeTip(tip.current, scene, latest.current, pointerY.current);
  });

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const gestures: GestureHost = {
      viewport,
      plot: () => plotOf({ width: element.clientWidth, height: element.clientHeight }),
      latest: () => latest.current.latest,
      onRest: (span, from) => latest.current.onRest(span, from),
      onMark: setMarked,
      onMarked: (span) => latest.current.onMarked(span),
      onHover: (instant) => latest.current.onHover(instant),
      onDoubleClick: () => latest.current.onOut(),
      onTap: (instant, y) => latest.current.onTap?.(instant, y),
    };
    return bindGestures(element, gestures);
  }, [viewport]);

  const onKeyDown = (event: KeyboardEvent) => {
    const command = commandOf(event);
    const forMarks = props.onMarkerCommand ? markerCommandOf(event) : null;
    if (!command && !forMarks) return;
    event.preventDefault();
    if (command) props.onCommand(command);
    if (forMarks) props.onMarkerCommand?.(forMarks);
  };

  const rested = useRested(viewport);
  const pieces = useMemo(() => piecesText(lines, rested), [lines, rested]);
  const marks = markersIn(layers.markers, rested).map(({ kind, end }) => {
    return end === null ? kind : `${kind}-stretch`;
  });
  const [from, to] = marked ? [Math.min(...marked), Math.max(...marked)] : [0, 0];
  return (
    <div
      ref={host}
      className="chart"
      role="application"
      aria-roledescription="chart"
      aria-label={props.description}
      aria-describedby={props.helpId}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: as above.
      tabIndex={0}
      onKeyDown={onKeyDown}
      onPointerMove={(event) => {
        pointerY.current = event.clientY - event.currentTarget.getBoundingClientRect().top;
      }}
      onPointerLeave={() => {
        pointerY.current = null;
      }}
      data-pieces={pieces}
      data-marks={marks.join(" ")}
      data-span={`${rested.start} ${rested.end}`}
    >
      <canvas ref={cursor} className="chart-canvas" />
      {props.instant !== null && <Tip ref={tip} chart={props} instant={props.instant} />}
      {marked && (
        <div className="chart-marks">
          <div
            className="chart-mark"
            style={{ left: `${100 * from}%`, width: `${100 * (to - from)}%` }}
          />
        </div>
      )}
    </div>
  );
}
