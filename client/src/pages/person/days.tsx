/** What a range holds of one person: days, zones, gaps. */
import { dateLabel, intervalLabel, spanLabel } from "../../charts/labels";
import { Card, Skeleton } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { TableScroll } from "../../components/TableScroll";
import { ZoneBars } from "../../components/ZoneBars";
import { type Day, minutesIn, restingFigures, zoneNames } from "../../figures/days";
import { gapsOf } from "../../figures/gaps";
import { decimalLabel, durationLabel, minutesLabel } from "../../figures/words";
import type { ZoneRule } from "../../state/url";
import { type Days, MOST_OWN_DAYS } from "../../state/useDays";
import type { Page } from "../../state/usePage";
import { goTo, zoomTo } from "../../state/useView";

/** Tables show so many rows; the saved file has them all. */
const MOST_ROWS = 31;
const MOST_GAPS = 8;

function useOne(days: Days): Day[] {
  return days.people[0]?.days ?? [];
}

function Figure({ label, value, unit }: { label: string; value: string; unit?: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <span className="figure">{value}</span> {unit && <span className="faint">{unit}</span>}
      </dd>
    </div>
  );
}

export function DaysCard({ days, zone }: { days: Days; zone: string }) {
  const all = useOne(days);
  const figures = restingFigures(all);
  return (
    <Card title="Daily summary" note={figures && `${figures.days.toLocaleString()} days`}>
      {days.error !== null && <ErrorNotice error={days.error} onRetry={days.retry} />}
      {days.loading && all.length === 0 && <Skeleton />}
      {!days.loading && days.error === null && !figures && (
        <p className="faint empty">No daily summaries in this range.</p>
      )}
      {figures && (
        <>
          <dl className="figures">
            <Figure label="Resting, latest" value={figures.latest.toFixed(0)} unit="bpm" />
            <Figure label="Average" value={decimalLabel(figures.average)} unit="bpm" />
            <Figure
              label="Range"
              value={`${figures.low.toFixed(0)}–${figures.high.toFixed(0)}`}
              unit="bpm"
            />
          </dl>
          <DayTable days={all} zone={zone} />
        </>
      )}
    </Card>
  );
}

function DayTable({ days, zone }: { days: readonly Day[]; zone: string }) {
  const names = zoneNames(days).slice(1);
  const shown = days.slice(-MOST_ROWS).reverse();
  return (
    <TableScroll label="Days">
      <table>
        <caption className="visually-hidden">Days, the latest first</caption>
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col" className="number">
              Resting
            </th>
            {names.map((name) => (
              <th key={name} scope="col" className="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((day) => (
            <tr key={day.date}>
              <th scope="row">{dateLabel(day.start, zone)}</th>
              <td className="number">{day.resting?.toFixed(0) ?? "–"}</td>
              {names.map((name) => (
                <td key={name} className="number">
                  {day.zones.length > 0 ? minutesLabel(minutesIn(day, name)) : "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}

const RULES: readonly { id: ZoneRule | ""; label: string }[] = [
  { id: "", label: "As the source says" },
  { id: "age", label: "By age (220 − age)" },
  { id: "karvonen", label: "By age and resting heart rate" },
];

export function ZonesCard(props: { days: Days; rule: ZoneRule | null; zone: string }) {
  const { days, rule, zone } = props;
  const all = useOne(days).filter((day) => day.zones.length > 0);
  const empty = rule
    ? "None here: zones by age need a birth date, and readings in this range."
    : "No source says zones for this range. They can be worked out from the readings.";
  const select = (
    <label className="inline-field">
      <span>Zones</span>
      <select
        className="field"
        value={rule ?? ""}
        onChange={(event) => {
          const chosen = RULES.find(({ id }) => id === event.target.value)?.id ?? "";
          goTo({ zones: chosen === "" ? null : chosen });
        }}
      >
        {RULES.map(({ id, label }) => (
          <option key={id} value={id}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Card title="Zones per day" note={select}>
      {days.tooLong && (
        <p className="faint empty">
          Zones are worked out for up to {MOST_OWN_DAYS} days at once; these are the source’s.
        </p>
      )}
      {days.loading && all.length === 0 && <Skeleton />}
      {!days.loading && days.error === null && all.length === 0 && (
        <p className="faint empty">{empty}</p>
      )}
      {all.length > 0 && <ZoneBars days={all} zone={zone} />}
    </Card>
  );
}

export function GapsCard({ page }: { page: Page }) {
  const { series, asked, zone, people } = page;
  const { picture } = series;
  const track = picture?.tracks.find((one) => one.userId === people[0]);
  const span = { start: asked.start, end: Math.min(asked.end, Date.now()) };
  const gaps = track ? gapsOf(track, span, track.bridgeMs) : [];
  const shown = gaps.slice(0, MOST_GAPS);
  const total = gaps.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  const note = picture && `at ${intervalLabel(picture.interval)}`;
  return (
    <Card title="Gaps" note={note}>
      {!track && series.loading && <Skeleton />}
      {!track && !series.loading && (
        <p className="faint empty">Gaps are told from the heart rate; choose it above the chart.</p>
      )}
      {track && gaps.length === 0 && <p className="faint empty">None: readings all along.</p>}
      {shown.length > 0 && (
        <>
          <p className="card-line">
            {gaps.length.toLocaleString()} {gaps.length === 1 ? "stretch" : "stretches"} without
            readings, {durationLabel(total)} in all; the longest:
          </p>
          <ul className="rows">
            {shown.map((gap) => (
              <li key={gap.start}>
                <button
                  type="button"
                  className="link"
                  onClick={() => {
                    const margin = (gap.end - gap.start) / 2;
                    const around = { start: gap.start - margin, end: gap.end + margin };
                    zoomTo({ kind: "span", span: { ...around, start: Math.max(0, around.start) } });
                  }}
                >
                  {spanLabel(gap, zone)}
                </button>
                <span className="number">{durationLabel(gap.end - gap.start)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}
