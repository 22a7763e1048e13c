import { useMemo, useState } from "react";
import { intervalLabel, spanLabel } from "../charts/labels";
import type { ChartTheme } from "../charts/palette";
import { SeriesChart } from "../charts/SeriesChart";
import type { Track } from "../charts/tracks";
import { ErrorNotice } from "../components/ErrorNotice";
import { Legend } from "../components/Legend";
import { StatusLine } from "../components/StatusLine";
import { Steps } from "../components/Steps";
import {
  overlapOf,
  panBy,
  type RangeChoice,
  type Span,
  wholeSeconds,
  zoomBy,
} from "../state/range";
import type { Page } from "../state/usePage";
import { goTo, panTo, zoomOut, zoomTo } from "../state/useView";

/** How much a button shows more or less of, and how far it moves. */
const ZOOM_STEP = 3;
const PAN_STEP = 0.5;
const NO_TRACKS: readonly Track[] = [];

export interface ChartPanelProps {
  page: Page;
  theme: ChartTheme;
  colourOf: (userId: string) => string;
  onRemove: (userId: string) => void;
  onWidth: (width: number) => void;
}

const spanChoice = (span: Span): RangeChoice => ({ kind: "span", span });

/** What stands in the place of a chart that would be blank; null when there is one to see. */
function Blank({ page, tracks }: { page: Page; tracks: readonly Track[] }) {
  const { people, asked, drawn, extent, series, zone } = page;
  if (people.length === 0) {
    return (
      <div className="blank">
        <h2>Nobody is chosen</h2>
        <p>Choose one or more people to see their heart rate.</p>
      </div>
    );
  }
  if (!series.picture) return series.error ? null : <div className="blank faint">Loading…</div>;
  if (series.loading || tracks.some((track) => track.x.length > 0)) return null;
  return (
    <div className="blank">
      <h2>No readings in this range</h2>
      <p>{spanLabel(drawn, zone)}</p>
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

/** The chart with its legend, its buttons, and what is to be said about it. */
export function ChartPanel({ page, theme, colourOf, onRemove, onWidth }: ChartPanelProps) {
  const { people, slots, nameOf, zone, now, asked, drawn, series } = page;
  const { picture, loading, error, retry } = series;
  const [instant, setInstant] = useState<number | null>(null);
  const tracks = useMemo(() => {
    return picture?.tracks.filter((track) => people.includes(track.userId)) ?? NO_TRACKS;
  }, [picture, people]);

  const outwards = () => zoomOut(spanChoice(zoomBy(asked, ZOOM_STEP, now)));
  const pan = (fraction: number) => panTo(spanChoice(panBy(asked, fraction, now)));
  const empty = !tracks.some((track) => track.x.length > 0);
  const resolution = intervalLabel(picture?.interval ?? "");
  const description = `Heart rate of ${people.map(nameOf).join(", ")}, ${spanLabel(drawn, zone)}, resolution ${resolution}`;

  return (
    <section className="panel" aria-label="Chart" aria-busy={loading}>
      {error !== null && <ErrorNotice error={error} onRetry={retry} />}
      {picture && <Missing ids={picture.missing} />}
      <div className="panel-head">
        {people.length > 0 && (
          <Legend
            people={people}
            tracks={tracks}
            nameOf={nameOf}
            colourOf={colourOf}
            instant={instant}
            span={overlapOf(drawn, picture?.question.span ?? null)}
            zone={zone}
            unit={picture?.unit ?? "bpm"}
            onRemove={onRemove}
          />
        )}
        <Steps
          disabled={people.length === 0}
          canGoLater={asked.end < now}
          onEarlier={() => pan(-PAN_STEP)}
          onLater={() => pan(PAN_STEP)}
          onZoomIn={() => zoomTo(spanChoice(zoomBy(asked, 1 / ZOOM_STEP, now)))}
          onZoomOut={outwards}
        />
      </div>
      <div className="chart-frame" data-empty={empty && !loading}>
        {loading && <div className="progress" />}
        <SeriesChart
          tracks={tracks}
          slots={slots}
          span={drawn}
          zone={zone}
          theme={theme}
          description={description}
          onSelect={(start, end) => zoomTo(spanChoice(wholeSeconds(start, end)))}
          onHover={setInstant}
          onDoubleClick={outwards}
          onWidth={onWidth}
        />
        <Blank page={page} tracks={tracks} />
      </div>
      <div className="panel-foot">
        <StatusLine picture={people.length > 0 ? picture : null} zone={zone} />
        <p className="faint hint">Drag across the chart to zoom in; double-click to go back out.</p>
      </div>
    </section>
  );
}
