/** What a range holds of one person: days, zones, gaps. */
import { dateLabel, intervalLabel, rangeText, spanLabel } from "../../charts/labels";
import { ruleLabel, whyNoZones, ZONE_RULES, type ZoneRule } from "../../charts/zones";
import { Card, Skeleton } from "../../components/Card";
import { DataTable } from "../../components/DataTable";
import { ErrorNotice } from "../../components/ErrorNotice";
import { ZoneBars } from "../../components/ZoneBars";
import { type Day, minutesIn, restingFigures, zoneNames } from "../../figures/days";
import { beatsLabel, durationLabel, minutesLabel, pluralLabel } from "../../figures/words";
import { LOCALE } from "../../locale";
import { type Days, MOST_OWN_DAYS } from "../../state/useDays";
import { useGaps } from "../../state/useGaps";
import type { Page } from "../../state/usePage";
import { goTo, zoomTo } from "../../state/useView";
import { isLive, type Span } from "../../time/range";

/** Tables show so many rows; the saved file has them all. */
const MOST_ROWS = 31;
const MOST_GAPS = 8;
const DAY_MS = 86_400_000;

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
  const whole = [figures?.low, figures?.high].every(Number.isInteger);
  return (
    <Card title="Daily summary" note="resting heart rate and zones">
      {days.error !== null && <ErrorNotice error={days.error} onRetry={days.retry} />}
      {days.loading && all.length === 0 && <Skeleton />}
      {!days.loading && days.error === null && !figures && (
        <p className="faint empty">No daily summaries in this range.</p>
      )}
      {figures && (
        <>
          <dl className="figures">
            <Figure label="Latest" value={beatsLabel(figures.latest)} unit="bpm" />
            <Figure
              label={`Average of ${pluralLabel(figures.days, "day", "days")}`}
              value={beatsLabel(figures.average)}
              unit="bpm"
            />
            <Figure
              label="Lowest to highest"
              value={rangeText(figures.low, figures.high, whole ? 0 : 1) ?? "the same each day"}
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
  const zones = names.map((title) => ({ title, number: true }));
  return (
    <DataTable
      label="Days"
      caption="Days, the latest first"
      columns={[{ title: "Day" }, { title: "Resting", number: true }, ...zones]}
      rows={shown.map((day) => ({
        key: day.date,
        cells: [
          dateLabel(day.start, zone),
          day.resting === null ? "–" : beatsLabel(day.resting),
          ...names.map((name) => {
            return day.zones.length > 0 ? minutesLabel(minutesIn(day, name)) : "–";
          }),
        ],
      }))}
    />
  );
}

export function ZonesCard(props: { days: Days; rule: ZoneRule | null; page: Page }) {
  const { days, rule, page } = props;
  const { people, nameOf, recordOf, zone } = page;
  const [id = ""] = people;
  const all = useOne(days).filter((day) => day.zones.length > 0);
  const empty = whyNoZones(nameOf(id), rule, recordOf(id)?.birth_date);
  const select = (
    <label className="inline-field">
      <span>Zones</span>
      <select
        className="field"
        value={rule ?? ""}
        onChange={(event) => {
          goTo({ zones: ZONE_RULES.find((one) => one.id === event.target.value)?.id ?? null });
        }}
      >
        <option value="">{ruleLabel(null)}</option>
        {ZONE_RULES.map((one) => (
          <option key={one.id} value={one.id}>
            {one.label}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Card title="Zones per day" note={select}>
      {days.tooLong && (
        <p className="faint empty">
          Zones by age are worked out for up to {MOST_OWN_DAYS} days at once: choose a shorter
          range.
          {all.length > 0 && " These are the source’s."}
        </p>
      )}
      {all.length > 0 && <ZoneBars days={all} zone={zone} />}
      {all.length > 0 && days.rule === rule && (
        <p className="faint">Method: {ruleLabel(rule).toLowerCase()}</p>
      )}
      {rule === null && days.rule !== null && all.length > 0 && (
        <p className="faint">
          Method: {ruleLabel(days.rule).toLowerCase()}; no source states zones here
        </p>
      )}
      {days.loading && all.length === 0 && <Skeleton />}
      {!days.loading && days.error === null && !days.tooLong && all.length === 0 && (
        <p className="faint empty">{empty}</p>
      )}
    </Card>
  );
}

/** A range that moves with the clock, in steps: minutes of a month are not asked for every half minute. */
function settledSpan({ start, end }: Span): Span {
  const step = (end - start > 8 * DAY_MS ? 60 : 5) * 60_000;
  return { start: Math.floor(start / step) * step, end: Math.floor(end / step) * step };
}

export function GapsCard({ page }: { page: Page }) {
  const { series, asked, zone, people, choice, answerable, subject } = page;
  const [userId] = people;
  // Where the chart asks for nothing, as over daily summaries, nothing has to be waited for.
  const ready = answerable && (subject === null || series.picture !== null);
  const span = choice && isLive(choice) ? settledSpan(asked) : asked;
  const wanted = ready && userId !== undefined ? { userId, zone, span } : null;
  const { gaps, loading, error } = useGaps(wanted);
  const found = gaps?.found ?? [];
  const shown = found.slice(0, MOST_GAPS);
  const total = found.reduce((sum, gap) => sum + gap.end - gap.start, 0);
  const note =
    gaps && (gaps.interval === "1m" ? "by minutes" : `of ${intervalLabel(gaps.interval)} or more`);
  return (
    <Card title="Gaps" note={note}>
      {loading && <Skeleton />}
      {error !== null && <ErrorNotice error={error} onRetry={null} />}
      {gaps && found.length === 0 && <p className="faint empty">None: readings all along.</p>}
      {shown.length > 0 && (
        <>
          <p className="card-line">
            {found.length.toLocaleString(LOCALE)} {found.length === 1 ? "stretch" : "stretches"}{" "}
            without readings, {durationLabel(total)} in all; the longest:
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
