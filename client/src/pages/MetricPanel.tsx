import { intervalLabel, spanLabel } from "../charts/labels";
import { ExportButtons } from "../components/ExportButtons";
import { MetricPicker } from "../components/MetricPicker";
import { daysCsv, seriesCsv } from "../figures/csv";
import { INTRADAY, instantText, SUMMARY, type View } from "../state/url";
import { useDays } from "../state/useDays";
import { goTo } from "../state/useView";
import { ChartPanel, type ChartPanelProps } from "./ChartPanel";
import { SummaryPanel } from "./SummaryPanel";

/** The chart of the chosen metric, and what can be saved of it. */
export function MetricPanel(props: ChartPanelProps & { view: View }) {
  const { page, view, colourOf } = props;
  const { people, nameOf, zone, asked, series } = page;
  const summary = view.metric === SUMMARY;
  const days = useDays(summary ? page : null, view.zones);
  const tracks = (series.picture?.tracks ?? []).filter((one) => people.includes(one.userId));
  const seen = summary ? days.people.some((one) => one.days.length > 0) : tracks.length > 0;
  const csv = () => (summary ? daysCsv(days.people) : seriesCsv(tracks, asked));
  const resolution = summary ? "1 day" : intervalLabel(series.picture?.interval ?? "");
  const what = summary ? "Resting heart rate, bpm" : "Heart rate, bpm";
  const from = instantText(asked.start).slice(0, 10);
  return (
    <>
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
      {summary ? <SummaryPanel {...props} days={days} /> : <ChartPanel {...props} />}
    </>
  );
}
