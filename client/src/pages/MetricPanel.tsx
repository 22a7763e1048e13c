import { useMemo } from "react";
import { intervalLabel, spanLabel } from "../charts/labels";
import { ExportButtons } from "../components/ExportButtons";
import { MetricPicker, OtherMetrics } from "../components/MetricPicker";
import { RangePicker } from "../components/RangePicker";
import { daysCsv, metricsCsv, seriesCsv } from "../figures/csv";
import { INTRADAY, SUMMARY, type View } from "../state/url";
import type { Days } from "../state/useDays";
import { useMedia } from "../state/useMedia";
import { useMetrics } from "../state/useMetrics";
import { usePanes } from "../state/usePanes";
import { goTo } from "../state/useView";
import { instantText } from "../time/range";
import { ChartPanel, type ChartPanelProps } from "./ChartPanel";
import { SummaryPanel } from "./SummaryPanel";

const NONE: readonly string[] = [];

/** The range, the chart of the chosen metric over it, and what can be saved of that. */
export function MetricPanel(props: ChartPanelProps & { view: View; days: Days }) {
  const { page, view, days, colourOf } = props;
  const { people, nameOf, recordOf, zone, asked, series } = page;
  const summary = view.metric === SUMMARY;
  const wide = useMedia("(min-width: 56rem)");
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
    if (others.length === 0) return seriesCsv(tracks, asked);
    const below = others.flatMap((metric) => {
      const picture = panes.loaded.get(metric)?.picture;
      const its = picture?.tracks.filter((one) => people.includes(one.userId)) ?? [];
      return picture ? [{ metric, unit: picture.unit, tracks: its }] : [];
    });
    const first = { metric: "heart_rate", unit: series.picture?.unit ?? "bpm", tracks };
    return metricsCsv([first, ...below], asked);
  };
  const resolution = summary ? "1 day" : intervalLabel(series.picture?.interval ?? "");
  const what = summary ? "Resting heart rate, bpm" : "Heart rate, bpm";
  const from = instantText(asked.start).slice(0, 10);
  return (
    <>
      <RangePicker
        choice={page.choice}
        span={asked}
        zone={zone}
        folded={!wide}
        onPreset={(preset) => goTo({ range: { kind: "preset", preset } })}
        onSpan={(span) => goTo({ range: { kind: "span", span } })}
      />
      <div className="toolbar">
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
        <ExportButtons
          name={`pulsebase-${summary ? "days" : others.length > 0 ? "metrics" : "heart-rate"}-${from}`}
          csv={seen ? csv : null}
          title={[what, `${spanLabel(asked, zone)} (${zone}), ${resolution}`]}
          legend={people.map((id) => ({ label: nameOf(id), colour: colourOf(id) }))}
        />
      </div>
      {summary ? (
        <SummaryPanel {...props} />
      ) : (
        <ChartPanel {...props} others={others} zones={view.zones} metrics={metrics} panes={panes} />
      )}
    </>
  );
}
