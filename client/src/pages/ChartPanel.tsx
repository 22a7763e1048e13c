import { useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { ChartTable } from "../charts/ChartTable";
import { clockLabel, intervalLabel, spanLabel, stretchLabel, valueText } from "../charts/labels";
import type { Marker } from "../charts/markers";
import { Overview } from "../charts/Overview";
import { wholeOf } from "../charts/overviewScene";
import type { ChartTheme } from "../charts/palette";
import { SeriesChart } from "../charts/SeriesChart";
import { digitsOf } from "../charts/ticks";
import { pointAt, type Track } from "../charts/tracks";
import { useRested } from "../charts/viewport";
import { ruleLabel, whyNoZones, type ZoneRule } from "../charts/zones";
import { ChartControls } from "../components/ChartControls";
import { ErrorNotice } from "../components/ErrorNotice";
import { Legend } from "../components/Legend";
import { StatusLine } from "../components/StatusLine";
import { ZonePicker } from "../components/ZonePicker";
import type { ChartView } from "../state/chartView";
import { type LayersState, useLayers } from "../state/useLayers";
import type { Metrics } from "../state/useMetrics";
import { useOverview } from "../state/useOverview";
import type { Page } from "../state/usePage";
import type { Panes } from "../state/usePanes";
import { goTo } from "../state/useView";
import { overlapOf, type Span } from "../time/range";
import { browserZone } from "../time/zone";
import { MetricPane } from "./MetricPane";
import { useChartActions } from "./useChartActions";
import { pointsIn, useLines } from "./useLines";
import { type ChartMarks, useMarkerActions } from "./useMarkerActions";

export interface ChartPanelProps {
  page: Page;
  theme: ChartTheme;
  colourOf: (userId: string) => string;
  onRemove: (userId: string) => void;
  onWidth: (width: number) => void;
  /** Whether it is of one person, on whose clock it is then. */
  single: boolean;
  /** What is marked on the chart of one person. */
  marks?: ChartMarks;
}

/** The chart, and the metrics below it. */
interface PanelProps extends ChartPanelProps {
  others: readonly string[];
  /** How zones are made; null: as sources state them, else by age. */
  zones: ZoneRule | null;
  metrics: Metrics;
  panes: Panes;
}

/** What stands in the place of a chart that would be blank; null when there is one to see. */
function Blank({ page, view, points }: { page: Page; view: Span; points: number }) {
  const { people, asked, extent, series, zone } = page;
  if (people.length === 0) {
    return (
      <div className="blank">
        <h2>Nobody is chosen</h2>
        <p>Choose one or more people to see their heart rate.</p>
      </div>
    );
  }
  if (!series.picture) {
    const wait =
      series.error === null ? "Loading…" : "The heart rate is shown once there is an answer.";
    return <div className="blank faint">{wait}</div>;
  }
  if (series.loading || points > 0) return null;
  return (
    <div className="blank">
      <h2>No readings in this range</h2>
      <p>{spanLabel(view, zone)}</p>
      {extent && (extent.start !== asked.start || extent.end !== asked.end) && (
        <>
          <p>Readings lie within {spanLabel(extent, zone)}.</p>
          <button
            type="button"
            className="button button-main"
            onClick={() => goTo({ range: { kind: "preset", preset: "all" } })}
          >
            Show all of them
          </button>
        </>
      )}
    </div>
  );
}

function Missing({ ids }: { ids: readonly string[] }) {
  if (ids.length === 0) return null;
  return (
    <div className="notice" role="status">
      <p>
        Not known on this server: <strong>{ids.join(", ")}</strong>
      </p>
    </div>
  );
}

/** Whose zones are drawn and how they were made, or why there are none. */
function ZonesNote(props: { page: Page; layers: LayersState; first: string | undefined }) {
  const { page, layers, first } = props;
  const { zones, noZones, rule } = layers;
  if (zones) {
    return (
      <p className="faint panel-note">
        Zones of {page.nameOf(zones.userId)}: {ruleLabel(rule).toLowerCase()}
      </p>
    );
  }
  if (!noZones || first === undefined) return null;
  return (
    <p className="panel-note" role="status">
      {whyNoZones(page.nameOf(first), layers.asked, page.recordOf(first)?.birth_date)}
    </p>
  );
}

function valuesSpoken(tracks: readonly Track[], instant: number, page: Page, digits: number) {
  const values = tracks.map((track) => {
    const at = pointAt(track, instant);
    const value = at === null ? undefined : track.value[at];
    const said = value === undefined ? "no reading" : valueText(value, digits);
    return `${page.nameOf(track.userId)}: ${said}`;
  });
  return values.join(". ");
}

/** The cross-hair in words, for those who move it with the keys: marks, heart rate, then each metric below. */
function spoken(
  tracks: readonly Track[],
  pointed: readonly Marker[],
  instant: number | null,
  props: PanelProps,
): string {
  if (instant === null) return "";
  const { page, panes, metrics } = props;
  const muted = new Set(page.chart.muted);
  const below = [...panes.loaded].map(([metric, { picture }]) => {
    const record = metrics.recordOf(metric);
    const seen = (picture?.tracks ?? []).filter((track) => !muted.has(track.userId));
    const said = valuesSpoken(seen, instant, page, digitsOf(record)) || "no reading";
    return `${record?.title ?? metric}, ${said}`;
  });
  const when = stretchLabel({ start: instant, end: instant }, page.zone);
  const marked = pointed.map(({ text }) => text.replace(/[.\s]+$/, ""));
  return [when, ...marked, valuesSpoken(tracks, instant, page, 0), ...below].join(". ");
}

/** Where a note would begin is said: at the time that was last pointed out, else it is about all that is shown. */
function AddNote(props: { marks: ChartMarks; at: number | null; zone: string }) {
  const { marks, at, zone } = props;
  if (!marks.mayWrite) return null;
  return (
    <button type="button" className="button button-small" onClick={() => marks.onAdd(at)}>
      {at === null ? "Add a note" : `Add a note at ${clockLabel(at, zone)}`}
    </button>
  );
}

function toggled(list: readonly string[], id: string): string[] {
  return list.includes(id) ? list.filter((one) => one !== id) : [...list, id];
}

/** Tells how wide an element is in CSS pixels, whenever that changes. */
function useWidth(onWidth: (width: number) => void) {
  const element = useRef<HTMLDivElement>(null);
  const latest = useRef(onWidth);
  latest.current = onWidth;
  // Before the first frame already, so that the first question need not wait for it.
  useLayoutEffect(() => {
    if (!element.current) return;
    latest.current(element.current.clientWidth);
    const observer = new ResizeObserver(([entry]) => {
      const width = entry?.contentRect.width ?? 0;
      if (width > 0) latest.current(width);
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return element;
}

/** The chart with its legend, its buttons, and what is to be said about it. */
export function ChartPanel(props: PanelProps) {
  const { page, others, metrics, panes, theme, colourOf, onRemove, onWidth } = props;
  const { people, nameOf, zone, zoneOf, latest, extent, chart, series, subject } = page;
  const { picture, loading, error, retry, viewport } = series;
  const helpId = useId();
  const [instant, setInstant] = useState<number | null>(null);
  const frame = useWidth(onWidth);
  const [byKey, setByKey] = useState(false);
  const view = useRested(viewport);
  const { lines, tracks } = useLines(picture, page, colourOf);
  const strip = useOverview(subject, extent, picture !== null);
  const overview = useLines(strip, page, colourOf);
  const seen = useMemo(() => {
    return people.filter((id) => !chart.muted.includes(id));
  }, [people, chart.muted]);
  const { resting, zones } = chart;
  const rule = props.zones;
  const layers = useLayers({ people: seen, resting, zones, rule, view, extent, zone, zoneOf });
  const actions = useChartActions(page, tracks, instant, setInstant);
  const { marks } = props;
  const markers = marks?.markers;
  const drawn = useMemo(() => {
    return markers ? { ...layers.layers, markers } : layers.layers;
  }, [layers.layers, markers]);
  const marking = useMarkerActions(
    marks ?? null,
    view,
    frame.current?.clientWidth ?? 0,
    instant,
    (at) => {
      setByKey(true);
      setInstant(at);
    },
  );
  const { pointed } = marking;

  const change = (next: Partial<ChartView>) => goTo({ chart: { ...chart, ...next } });
  const points = pointsIn(tracks, view);
  const resolution = intervalLabel(picture?.interval ?? "");
  const description = `Heart rate of ${people.map(nameOf).join(", ")}, ${spanLabel(view, zone)}, resolution ${resolution}`;
  const answered = overlapOf(view, picture?.window.span ?? null);
  const whole = wholeOf(extent, view);

  return (
    <section className="panel" aria-label="Chart" aria-busy={loading}>
      {error !== null && <ErrorNotice error={error} onRetry={retry} />}
      {picture && <Missing ids={picture.missing} />}
      <div className="panel-head">
        {people.length > 0 && (
          <Legend
            people={people}
            tracks={picture?.tracks ?? []}
            pyramids={picture?.pyramids ?? []}
            nameOf={nameOf}
            colourOf={colourOf}
            instant={instant}
            span={answered}
            zone={zone}
            unit={picture?.unit ?? "bpm"}
            muted={chart.muted}
            onMute={(id) => change({ muted: toggled(chart.muted, id) })}
            onRemove={onRemove}
          />
        )}
      </div>
      <div ref={frame} className="chart-frame" data-empty={people.length === 0 || !picture}>
        {loading && <div className="progress" />}
        {chart.table ? (
          <ChartTable
            tracks={tracks}
            span={view}
            zone={zone}
            unit={picture?.unit ?? "bpm"}
            nameOf={nameOf}
          />
        ) : (
          <SeriesChart
            viewport={viewport}
            tracks={tracks}
            lines={lines}
            layers={drawn}
            zone={zone}
            theme={theme}
            latest={latest}
            nameOf={nameOf}
            unit={picture?.unit ?? "bpm"}
            description={description}
            helpId={helpId}
            instant={instant}
            onRest={actions.onRest}
            onMarked={actions.onMarked}
            onHover={(next) => {
              setByKey(false);
              setInstant(next);
            }}
            onOut={actions.onOut}
            onCommand={(command) => {
              setByKey(command.kind === "point");
              actions.onCommand(command);
            }}
            {...(marks && {
              pointed,
              onMarkerCommand: marking.onCommand,
              onTap: marking.onTap,
            })}
          />
        )}
        {!chart.table && <Blank page={page} view={view} points={points} />}
      </div>
      {people.length > 0 &&
        others.map((metric) => {
          const loaded = panes.loaded.get(metric);
          return (
            loaded && (
              <MetricPane
                key={metric}
                page={page}
                metric={metric}
                record={metrics.recordOf(metric)}
                loaded={loaded}
                theme={theme}
                helpId={helpId}
                colourOf={colourOf}
                instant={instant}
                lowest={metric === others.at(-1)}
                onInstant={(next, spokenToo) => {
                  setByKey(spokenToo);
                  setInstant(next);
                }}
                onRetry={() => panes.retry(metric)}
                onRemove={() => goTo({ others: others.filter((one) => one !== metric) })}
              />
            )
          );
        })}
      <div className="axis-foot">
        <ZonePicker page={page} single={props.single} />
      </div>
      {people.length > 0 && (picture || error === null) && (
        <div className="overview-frame">
          <Overview
            viewport={viewport}
            lines={overview.lines}
            whole={whole}
            zone={zone}
            theme={theme}
            latest={latest}
            onRest={actions.onRest}
            onCommand={actions.onCommand}
          />
        </div>
      )}
      <ChartControls
        chart={chart}
        onChange={change}
        marking={marks && <AddNote marks={marks} at={instant ?? marking.picked} zone={zone} />}
      />
      {layers.error !== null && <ErrorNotice error={layers.error} onRetry={null} />}
      <ZonesNote page={page} layers={layers} first={seen[0]} />
      <div className="panel-foot">
        <StatusLine
          picture={people.length > 0 ? picture : null}
          zone={page.clocks ? browserZone() : zone}
          points={points}
        />
        <p className="faint hint" id={helpId}>
          Drag to move, wheel or pinch to zoom, Shift and drag to zoom to a stretch, double-click to
          go back out. Keys: arrows move and zoom, comma and full stop move the cross-hair, Home and
          End go to the ends, 0 shows all.
          {marks && " M and Shift M go from mark to mark"}
          {marks &&
            (marks.mayWrite ? ", N adds a note, Enter changes the one at the cross-hair." : ".")}
        </p>
      </div>
      <p className="visually-hidden" aria-live="polite">
        {byKey ? spoken(tracks, pointed, instant, props) : ""}
      </p>
    </section>
  );
}
