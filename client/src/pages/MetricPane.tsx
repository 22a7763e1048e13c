import { ChartTable } from "../charts/ChartTable";
import { intervalLabel, spanLabel } from "../charts/labels";
import type { ChartTheme } from "../charts/palette";
import { SeriesChart } from "../charts/SeriesChart";
import { NO_LAYERS } from "../charts/scene";
import { digitsOf, type Scale } from "../charts/ticks";
import { useRested } from "../charts/viewport";
import { ErrorNotice } from "../components/ErrorNotice";
import { Figures, readingOf } from "../components/Legend";
import { PaneHead } from "../components/PaneHead";
import type { Loaded } from "../state/loader";
import type { MetricRecord } from "../state/useMetrics";
import type { Page } from "../state/usePage";
import { overlapOf } from "../time/range";
import { useChartActions } from "./useChartActions";
import { pointsIn, useLines } from "./useLines";

export interface MetricPaneProps {
  page: Page;
  /** Its name in the address. */
  metric: string;
  record: MetricRecord | null;
  loaded: Loaded;
  theme: ChartTheme;
  helpId: string;
  colourOf: (userId: string) => string;
  instant: number | null;
  /** Whether it is the lowest of all, which tells the times for those above. */
  lowest: boolean;
  /** `byKey`: the cross-hair was moved with a key, so that its values are to be spoken. */
  onInstant: (instant: number | null, byKey: boolean) => void;
  onRetry: () => void;
  onRemove: () => void;
}

/** What the pane is about, and everybody's figures at the cross-hair or over all that is seen. */
function Head(props: MetricPaneProps & { title: string; unit: string; scale: Scale | null }) {
  const { page, loaded, title, unit, scale, instant, colourOf, onRemove } = props;
  const { people, nameOf, chart, series } = page;
  const view = useRested(series.viewport);
  const { picture } = loaded;
  const span = overlapOf(view, picture?.window.span ?? null);
  const { tracks = [], pyramids = [] } = picture ?? {};
  const seen = people.filter((id) => !chart.muted.includes(id));
  return (
    <PaneHead title={title} unit={unit} onRemove={onRemove}>
      {picture && (
        <ul className="pane-figures">
          {seen.map((id) => (
            <li key={id}>
              <span className="legend-swatch" style={{ background: colourOf(id) }} />
              <span className={people.length > 1 ? "legend-name" : "visually-hidden"}>
                {nameOf(id)}
              </span>
              <Figures
                reading={readingOf({ tracks, pyramids, instant, span }, id)}
                unit={unit}
                digits={digitsOf(scale)}
              />
            </li>
          ))}
        </ul>
      )}
    </PaneHead>
  );
}

/** One metric below heart rate: its own scale, the time axis and the cross-hair of the chart above. */
export function MetricPane(props: MetricPaneProps) {
  const { page, metric, record, loaded, theme, colourOf, instant, lowest, onInstant } = props;
  const { people, nameOf, zone, latest, chart, series } = page;
  const { viewport } = series;
  const { picture, loading, error } = loaded;
  const view = useRested(viewport);
  const { lines, tracks } = useLines(picture, page, colourOf);
  const actions = useChartActions(page, tracks, instant, (next) => onInstant(next, true));
  const title = record?.title ?? metric.replaceAll("_", " ");
  const unit = record?.unit ?? picture?.unit ?? "";
  const blank = picture && !loading && pointsIn(tracks, view) === 0;
  const resolution = intervalLabel(picture?.interval ?? "");
  const description = `${title} in ${unit} of ${people.map(nameOf).join(", ")}, ${spanLabel(view, zone)}, resolution ${resolution}`;
  return (
    <section className="pane" aria-label={title} aria-busy={loading} data-metric={metric}>
      <Head {...props} title={title} unit={unit} scale={record} />
      {error !== null && <ErrorNotice error={error} onRetry={props.onRetry} />}
      <div
        className="chart-frame pane-frame"
        data-empty={!picture}
        data-table={chart.table}
        data-bare={!lowest}
      >
        {loading && <div className="progress" />}
        {chart.table ? (
          <ChartTable
            tracks={tracks}
            span={view}
            zone={zone}
            unit={unit}
            title={title}
            digits={digitsOf(record)}
            nameOf={nameOf}
          />
        ) : (
          <SeriesChart
            viewport={viewport}
            tracks={tracks}
            lines={lines}
            layers={NO_LAYERS}
            scale={record}
            zone={zone}
            theme={theme}
            latest={latest}
            nameOf={nameOf}
            unit={unit}
            bare={!lowest}
            description={description}
            helpId={props.helpId}
            instant={instant}
            onRest={actions.onRest}
            onMarked={actions.onMarked}
            onHover={(next) => onInstant(next, false)}
            onOut={actions.onOut}
            onCommand={actions.onCommand}
          />
        )}
        {blank && !chart.table && <p className="blank faint">No readings in this range</p>}
        {!picture && error === null && <p className="blank faint">Loading…</p>}
      </div>
    </section>
  );
}
