import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import type { Span } from "../time/range";
import { decimate, extremes } from "./decimate";
import { spanLabel } from "./labels";
import { brushed, type Command, commandOf, type Grip, panned } from "./motion";
import { gripAt, windowOf } from "./overviewScene";
import { freshContext, paintAlone, paintBand, paintLine } from "./paint";
import { type ChartTheme, translucent } from "./palette";
import { type Line, MARGIN, yOf } from "./scene";
import { heightRange } from "./ticks";
import { useCanvas } from "./useCanvas";
import { useRested, type Viewport } from "./viewport";

export interface OverviewProps {
  viewport: Viewport;
  lines: readonly Line[];
  whole: Span;
  zone: string;
  theme: ChartTheme;
  latest: number;
  onRest: (span: Span, from: Span) => void;
  onCommand: (command: Command) => void;
}

interface Held {
  grip: Grip;
  from: Span;
  x: number;
}

function paintStrip(canvas: HTMLCanvasElement, props: OverviewProps, width: number, high: number) {
  const ctx = freshContext(canvas, { width, height: high }, window.devicePixelRatio || 1);
  if (!ctx) return;
  const { whole, theme } = props;
  const drawn = props.lines.map(({ colour, pyramid }) => {
    return { colour, columns: decimate(pyramid, { ...whole, width }) };
  });
  const beats = heightRange(
    extremes(
      drawn.map((one) => one.columns),
      width,
    ),
  );
  const y = (value: number) => yOf(value, beats, high);
  for (const { colour, columns } of drawn) {
    ctx.fillStyle = translucent(colour, 2 * theme.bandAlpha);
    paintBand(ctx, columns, y);
  }
  ctx.lineWidth = 1;
  for (const { colour, columns } of drawn) {
    ctx.strokeStyle = colour;
    paintLine(ctx, columns, y);
    ctx.fillStyle = colour;
    paintAlone(ctx, columns, y);
  }
}

/** The whole history under the chart; its window is moved and resized by dragging or with the keys. */
export function Overview(props: OverviewProps) {
  const { viewport, whole, latest, onRest } = props;
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const brush = useRef<HTMLDivElement>(null);
  const held = useRef<Held | null>(null);
  const [cursor, setCursor] = useState("pointer");
  const painted = useRef<unknown[]>([]);

  useCanvas(host, viewport, ({ width, height }) => {
    // Only the window moves with the view: the strip is painted when it has changed itself.
    const now = [props.lines, whole.start, whole.end, props.theme, width, height];
    if (canvas.current && now.some((part, i) => part !== painted.current[i])) {
      painted.current = now;
      paintStrip(canvas.current, props, width, height);
    }
    if (!brush.current) return;
    const window = windowOf(viewport.span, whole, width);
    brush.current.style.transform = `translateX(${window.left}px)`;
    brush.current.style.width = `${window.width}px`;
  });

  // A canvas that comes back after having been hidden is blank.
  useEffect(() => {
    painted.current = [];
  }, []);

  const placeOf = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - box.left, width: box.width };
  };
  const msPerPx = (width: number) => (whole.end - whole.start) / width;

  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const { x, width } = placeOf(event);
    let from = viewport.span;
    const grip = gripAt(x, windowOf(from, whole, width));
    if (!grip) {
      // Beside the window: it comes to the finger.
      const middle = whole.start + x * msPerPx(width);
      from = panned(from, middle - (from.start + from.end) / 2, latest);
      viewport.move(from);
    }
    held.current = { grip: grip ?? "middle", from, x };
  };
  const onPointerMove = (event: PointerEvent) => {
    const { x, width } = placeOf(event);
    const { current } = held;
    if (!current) {
      const grip = gripAt(x, windowOf(viewport.span, whole, width));
      setCursor(grip === "middle" ? "grab" : grip ? "ew-resize" : "pointer");
      return;
    }
    const byMs = (x - current.x) * msPerPx(width);
    viewport.move(brushed(current.from, current.grip, byMs, latest));
  };
  const onPointerUp = () => {
    if (!held.current) return;
    held.current = null;
    if (viewport.moving) onRest(viewport.span, viewport.rested);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const command = commandOf(event);
    if (!command || command.kind === "point") return;
    event.preventDefault();
    props.onCommand(command);
  };

  const rested = useRested(viewport);
  const middle = (rested.start + rested.end) / 2;
  const share = Math.round((100 * (middle - whole.start)) / (whole.end - whole.start));
  return (
    <div
      ref={host}
      className="overview"
      role="slider"
      tabIndex={0}
      aria-label="Part of the whole history in view"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.max(0, Math.min(100, share))}
      aria-valuetext={spanLabel(rested, props.zone)}
      style={{ cursor, marginLeft: MARGIN.left, marginRight: MARGIN.right }}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={onPointerUp}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} className="chart-canvas" />
      <div ref={brush} className="overview-window" />
    </div>
  );
}
