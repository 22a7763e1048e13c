import { useMemo, useState } from "react";
import { dateLabel, rangeText, spanLabel } from "../charts/labels";
import type { ChartTheme } from "../charts/palette";
import { ErrorNotice } from "../components/ErrorNotice";
import { FigureList } from "../components/FigureList";
import { PlainChart } from "../components/PlainChart";
import { ZonePicker } from "../components/ZonePicker";
import { restingFigures, restingLine } from "../figures/days";
import { pointAt } from "../figures/line";
import { pluralLabel } from "../figures/words";
import type { Days } from "../state/useDays";
import type { Page } from "../state/usePage";

export interface SummaryPanelProps {
  page: Page;
  theme: ChartTheme;
  days: Days;
  colourOf: (userId: string) => string;
  onRemove: (userId: string) => void;
  single: boolean;
}

/** Resting heart rates by day, of one person or several. */
export function SummaryPanel({ page, theme, days, colourOf, onRemove, single }: SummaryPanelProps) {
  const { people, nameOf, zone, asked } = page;
  const [instant, setInstant] = useState<number | null>(null);
  const lines = useMemo(() => {
    return days.people.map((one) => restingLine(one.userId, one.days));
  }, [days.people]);
  const figures = people.map((id) => {
    const line = lines.find((one) => one.userId === id);
    const found = restingFigures(days.people.find((one) => one.userId === id)?.days ?? []);
    const index = line && instant !== null ? pointAt(line, instant) : null;
    const at = index === null ? undefined : line?.from[index];
    const base = { id, name: nameOf(id), colour: colourOf(id) };
    if (line && at !== undefined && index !== null) {
      return { ...base, value: line.value[index] ?? null, note: dateLabel(at, zone) };
    }
    if (!found || instant !== null) return { ...base, value: null, note: "no day" };
    const range = rangeText(found.low, found.high, 1);
    const note = `resting, average of ${pluralLabel(found.days, "day", "days")}${range ? `, ${range}` : ""}`;
    return { ...base, value: found.average, note };
  });
  const empty = !lines.some((line) => line.from.length > 0);
  const description = `Resting heart rate of ${people.map(nameOf).join(", ")} by day, ${spanLabel(asked, zone)}`;
  return (
    <section className="panel" aria-label="Chart" aria-busy={days.loading}>
      {days.error !== null && <ErrorNotice error={days.error} onRetry={days.retry} />}
      <FigureList figures={figures} digits={1} compact onRemove={onRemove} />
      <div className="chart-frame" data-empty={empty && !days.loading}>
        {days.loading && <div className="progress" />}
        <PlainChart
          lines={lines}
          colourOf={colourOf}
          span={asked}
          zone={zone}
          theme={theme}
          description={description}
          instant={instant}
          onHover={setInstant}
        />
        {empty && (
          <Blank people={people.length} loading={days.loading} failed={days.error !== null} />
        )}
      </div>
      <div className="axis-foot">
        <ZonePicker page={page} single={single} />
      </div>
      <div className="panel-foot">
        <p className="faint">Resting heart rate, one value a day, as sources say it.</p>
      </div>
    </section>
  );
}

function Blank({ people, loading, failed }: { people: number; loading: boolean; failed: boolean }) {
  if (failed) return null;
  if (people === 0) {
    return (
      <div className="blank">
        <h2>Nobody is chosen</h2>
        <p>Choose one or more people to see their days.</p>
      </div>
    );
  }
  if (loading) return <div className="blank faint">Loading…</div>;
  return (
    <div className="blank">
      <h2>No daily summaries in this range</h2>
      <p>They come from sources such as Fitbit, and from files.</p>
    </div>
  );
}
