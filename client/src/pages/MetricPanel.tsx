import { intervalLabel, spanLabel } from "../charts/labels";
import { ExportButtons } from "../components/ExportButtons";
import { MetricPicker } from "../components/MetricPicker";
import { RangePicker } from "../components/RangePicker";
import { daysCsv, seriesCsv } from "../figures/csv";
import { INTRADAY, SUMMARY, type View } from "../state/url";
import type { Days } from "../state/useDays";
import { useMedia } from "../state/useMedia";
import { goTo } from "../state/useView";
import { instantText } from "../time/range";
import { ChartPanel, type ChartPanelProps } from "./ChartPanel";
import { SummaryPanel } from "./SummaryPanel";

/** The range, the chart of the chosen metric over it, and what can be saved of that. */
export function MetricPanel(props: ChartPanelProps & { view: View; days: Days }) {
  const { page, view, days, colourOf } = props;
  const { people, nameOf, zone, asked, series } = page;
  const summary = view.metric === SUMMARY;
  const wide = useMedia("(min-width: 56rem)");
  const tracks = (series.picture?.tracks ?? []).filter((one) => people.includes(one.userId));
  const seen = summary ? days.people.some((one) => one.days.length > 0) : tracks.length > 0;
  const csv = () => (summary ? daysCsv(days.people) : seriesCsv(tracks, asked));
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
        <ExportButtons
          name={`pulsebase-${summary ? "days" : "heart-rate"}-${from}`}
          csv={seen ? csv : null}
          title={[what, `${spanLabel(asked, zone)} (${zone}), ${resolution}`]}
          legend={people.map((id) => ({ label: nameOf(id), colour: colourOf(id) }))}
        />
      </div>
      {summary ? <SummaryPanel {...props} /> : <ChartPanel {...props} />}
    </>
  );
}
