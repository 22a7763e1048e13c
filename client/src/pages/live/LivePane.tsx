import type { ChartTheme } from "../../charts/palette";
import { digitsOf } from "../../charts/ticks";
import { FigureList } from "../../components/FigureList";
import { PaneHead } from "../../components/PaneHead";
import { PlainChart } from "../../components/PlainChart";
import type { Live } from "../../live/useLive";
import type { MetricRecord } from "../../state/useMetrics";
import type { Span } from "../../time/range";
import { figureOf, useLines } from "./lines";

export interface LiveView {
  live: Live;
  people: readonly string[];
  nameOf: (userId: string) => string;
  colourOf: (userId: string) => string;
  now: number;
  span: Span;
  zone: string;
  theme: ChartTheme;
  instant: number | null;
  onInstant: (instant: number | null) => void;
}

interface LivePaneProps {
  view: LiveView;
  record: MetricRecord;
  /** Whether it is the lowest of all, which tells the times for those above. */
  lowest: boolean;
  onRemove: () => void;
}

/** One metric below heart rate, over the same minutes and with the same cross-hair. */
export function LivePane({ view, record, lowest, onRemove }: LivePaneProps) {
  const { live, people, nameOf, colourOf, now, span, zone, theme, instant, onInstant } = view;
  const { metric, title, unit } = record;
  const lines = useLines(live, metric, people, now, span.end - span.start);
  const empty = !lines.some((line) => line.from.length > 0);
  return (
    <section className="pane" aria-label={title} data-metric={metric}>
      <PaneHead title={title} unit={unit} onRemove={onRemove} />
      <FigureList
        figures={lines.map((line) => ({
          id: line.userId,
          name: nameOf(line.userId),
          colour: colourOf(line.userId),
          ...figureOf(line, instant, now, zone),
        }))}
        unit={unit}
        digits={digitsOf(record)}
      />
      <div className="chart-frame pane-frame" data-empty={empty} data-bare={!lowest}>
        <PlainChart
          lines={lines}
          scale={record}
          colourOf={colourOf}
          span={span}
          zone={zone}
          theme={theme}
          bare={!lowest}
          description={`${title} in ${unit} of ${people.map(nameOf).join(", ")} in the same minutes`}
          instant={instant}
          onHover={onInstant}
        />
        {empty && <p className="blank faint">No readings in these minutes</p>}
      </div>
    </section>
  );
}
