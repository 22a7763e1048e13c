import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Span } from "../state/range";
import { type Aligned, type AlignedTrack, align, piecesOf, toTable } from "./align";
import { chartOptions } from "./options";
import type { ChartTheme } from "./palette";
import { bindTouch } from "./touch";
import type { Track } from "./tracks";

export interface SeriesChartProps {
  tracks: readonly Track[];
  slots: ReadonlyMap<string, number>;
  span: Span;
  zone: string;
  theme: ChartTheme;
  /** What the picture shows, for those who cannot see it. */
  description: string;
  onSelect: (start: number, end: number) => void;
  onHover: (instant: number | null) => void;
  onDoubleClick: () => void;
  /** The width of the page's chart in CSS pixels, told whenever it changes. */
  onWidth: (width: number) => void;
}

/** What was drawn, for tests and other programs, which cannot read it off a canvas. */
function piecesText({ x, tracks }: Aligned): string {
  return JSON.stringify(
    Object.fromEntries(tracks.map((track) => [track.userId, piecesOf(x, track.value)])),
  );
}

/** Draws the tracks; everything it draws comes from the pure modules beside it. */
export function SeriesChart(props: SeriesChartProps) {
  const { tracks, slots, span, zone, theme } = props;
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;

  const aligned = useMemo(() => align(tracks), [tracks]);
  const banded = tracks.some((track) => !track.raw);
  const table = useMemo(() => toTable(aligned, banded), [aligned, banded]);
  const now = useRef<{ table: typeof table; tracks: readonly AlignedTrack[] }>(null);
  now.current = { table, tracks: aligned.tracks };

  // A new chart is made only when its series change; colours are part of that, data is not.
  const shape = tracks.map((track) => `${track.userId}/${slots.get(track.userId) ?? 0}`).join(" ");

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const people = shape
      .split(" ")
      .filter(Boolean)
      .map((text) => {
        const cut = text.lastIndexOf("/");
        return { userId: text.slice(0, cut), slot: Number(text.slice(cut + 1)) };
      });
    const options = chartOptions(
      {
        people,
        banded,
        theme,
        zone,
        tracksNow: () => now.current?.tracks ?? [],
        onSelect: (start, end) => latest.current.onSelect(start, end),
        onHover: (instant) => latest.current.onHover(instant),
        onDoubleClick: () => latest.current.onDoubleClick(),
      },
      { width: element.clientWidth, height: element.clientHeight },
      latest.current.span,
    );
    const made = new uPlot(options, now.current?.table as uPlot.AlignedData, element);
    const unbindTouch = bindTouch(made);
    chart.current = made;
    return () => {
      unbindTouch();
      made.destroy();
      chart.current = null;
    };
  }, [shape, banded, theme, zone]);

  useEffect(() => {
    const made = chart.current;
    if (!made) return;
    made.batch(() => {
      made.setData(table as uPlot.AlignedData, false);
      made.setScale("x", { min: span.start, max: span.end });
    });
  }, [table, span]);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = element;
      if (width === 0) return;
      chart.current?.setSize({ width, height });
      latest.current.onWidth(width);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const pieces = useMemo(() => piecesText(aligned), [aligned]);
  return (
    <div
      ref={host}
      className="chart"
      role="img"
      aria-label={props.description}
      data-pieces={pieces}
    />
  );
}
