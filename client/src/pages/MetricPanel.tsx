import { useMemo } from "react";
import { intervalLabel, spanLabel } from "../charts/labels";
import { ExportButtons } from "../components/ExportButtons";
import { Menu } from "../components/Menu";
import { MetricPicker, OtherMetrics } from "../components/MetricPicker";
import { RangeBar } from "../components/RangeBar";
import { daysCsv, metricsCsv, seriesCsv } from "../figures/csv";
import { INTRADAY, SUMMARY, type View } from "../state/url";
import type { Days } from "../state/useDays";
import { useMedia } from "../state/useMedia";
import { useMetrics } from "../state/useMetrics";
import { usePanes } from "../state/usePanes";
import { goTo, panTo } from "../state/useView";
import { instantText } from "../time/range";
import { ChartPanel, type ChartPanelProps } from "./ChartPanel";
import { SummaryPanel } from "./SummaryPanel";
import { useChartActions } from "./useChartActions";

const NONE: readonly string[] = [];

/** How much a button shows more or less of, and how far it moves. */
const ZOOM_STEP = 2;
const PAN_STEP = 0.5;

/** The range, the chart of the chosen metric over it, and what can be saved of that. */
export function MetricPanel(props: ChartPanelProps & { view: View; days: Days }) {
  const { page, view, days, colourOf } = props;
  const { people, nameOf, recordOf, zone, asked, series } = page;
  const summary = view.metric === SUMMARY;
  const wide = useMedia("(min-width: 84rem)");
  const tracks = (series.picture?.tracks ?? []).filter((one) => people.includes(one.userId));
  const seen = summary ? days.people.some((one) => one.days.length > 0) : tracks.length > 0;
  const known = useMemo(() => {
    return people.filter((id) => recordOf(id) !== null);
  }, [people, recordOf]);
  const others = summary ? NONE : view.others;
  const metrics = useMetrics(known, view.others, series.picture !== null);
  const panes = usePanes(page, others);
  const csv = () => {
    if (summary) return daysCsv(days.people);
    if (others.length === 0) return seriesCsv(tracks, asked, page.clocks !== null);
    const below = others.flatMap((metric) => {
      const picture = panes.loaded.get(metric)?.picture;
      const its = picture?.tracks.filter((one) => people.includes(one.userId)) ?? [];
      return picture ? [{ metric, unit: picture.unit, tracks: its }] : [];
    });
    const first = { metric: "heart_rate", unit: series.picture?.unit ?? "bpm", tracks };
    return metricsCsv([first, ...below], asked, page.clocks !== null);
  };
  const resolution = summary ? "1 day" : intervalLabel(series.picture?.interval ?? "");
  const what = summary ? "Resting heart rate, bpm" : "Heart rate, bpm";
  const from = instantText(asked.start).slice(0, 10);
  const zoneName = page.clocks ? "everybody\u2019s own clock" : zone;
  const { onCommand } = useChartActions(page, [], null, () => undefined);
  return (
    <>
      <div className="toolbar">
        <RangeBar
          choice={page.choice}
          span={asked}
          zone={zone}
          latest={page.latest}
          wide={wide}
          disabled={people.length === 0}
          onPreset={(preset) => goTo({ range: { kind: "preset", preset } })}
          onSpan={(span) => goTo({ range: page.choiceOf(span) })}
          onStep={(span) => panTo(page.choiceOf(span))}
          onPan={(by) => onCommand({ kind: "pan", fraction: by * PAN_STEP })}
          onZoom={(by) =>
            onCommand({ kind: "zoom", factor: by === "in" ? 1 / ZOOM_STEP : ZOOM_STEP })
          }
        />
        <Menu label="Metrics" align="end">
          <MetricPicker
            metric={view.metric}
            onMetric={(metric) => goTo({ metric: metric === SUMMARY ? SUMMARY : INTRADAY })}
          />
          {!summary && (
            <OtherMetrics
              offered={metrics.offered}
              chosen={others}
              onChange={(next) => goTo({ others: next })}
            />
          )}
        </Menu>
        <Menu label="Save" align="end">
          <ExportButtons
            name={`pulsebase-${summary ? "days" : others.length > 0 ? "metrics" : "heart-rate"}-${from}`}
            csv={seen ? csv : null}
            title={[what, `${spanLabel(asked, zone)} (${zoneName}), ${resolution}`]}
            legend={people.map((id) => ({ label: nameOf(id), colour: colourOf(id) }))}
          />
        </Menu>
      </div>
      {summary ? (
        <SummaryPanel {...props} />
      ) : (
        <ChartPanel {...props} others={others} zones={view.zones} metrics={metrics} panes={panes} />
      )}
    </>
  );
}
