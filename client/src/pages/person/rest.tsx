/** Resting heart rate, ours beside those of sources, and the variability of nights. */
import { dateLabel, rangeText } from "../../charts/labels";
import { Card, Skeleton } from "../../components/Card";
import { type Column, DataTable } from "../../components/DataTable";
import { ErrorNotice } from "../../components/ErrorNotice";
import { type DayValue, LEAST_DAYS, type Usual, usualOf } from "../../figures/baseline";
import {
  lastDates,
  type RestDay,
  restDays,
  restingSeries,
  variabilityDays,
} from "../../figures/rest";
import { decimalLabel, pluralLabel } from "../../figures/words";
import { LOCALE } from "../../locale";
import { useAnswer } from "../../state/useAnswer";
import type { Page } from "../../state/usePage";

/** The latest day, and the thirty before it: each of them is worked out from the readings. */
const ASKED_DAYS = 31;
const OWN_RESTING = "lowest-30-minutes";

/** How the range and the trend of a person's days come about. */
const RANGE_METHOD =
  "Usual: the central 95 % of the 30 days before the latest, mean ± 1.96 standard deviations, of RMSSD by its logarithm (the parametric reference interval of CLSI EP28-A3c, of one person’s days). Trend: the median of the slopes between all pairs of days (Theil–Sen; Sen, J Am Stat Assoc 63:1379, 1968).";

export function RestCard(props: { userId: string; page: Page }) {
  const { userId, page } = props;
  const { asked, zone, answerable, subject, series } = page;
  const { first, last } = lastDates(asked, zone, ASKED_DAYS);
  const question = {
    query: { start_date: first, end_date: last, tz: zone },
    inPath: { user_id: userId },
    subject: userId,
  };
  // The chart comes first.
  const ready = answerable && (subject === null || series.picture !== null);
  const resting = useAnswer(
    ready ? { path: "/v1/users/{user_id}/resting-heart-rate", ...question } : null,
  );
  const nights = useAnswer(
    ready
      ? {
          path: "/v1/users/{user_id}/hrv",
          ...question,
          query: { ...question.query, window: "night" as const },
        }
      : null,
  );
  const answers = [resting, nights];
  const failed = answers.find(({ error }) => error !== null);
  const loading = !ready || answers.some((one) => one.loading);
  const days = restDays(resting.answer?.columns ?? null, nights.answer?.columns ?? null, zone);
  const methods: Record<string, string> = { ...resting.answer?.methods, ...nights.answer?.methods };
  const heart = restingSeries(days, OWN_RESTING);
  const variability = usualOf(variabilityDays(days), true);
  const usual = heart && usualOf(heart.days, false);
  return (
    <Card title="Rest" note={`${ASKED_DAYS} days up to the end of the range`}>
      <div className="answered" aria-busy={loading}>
        {failed && <ErrorNotice error={failed.error} onRetry={failed.retry} />}
        {loading && days.length === 0 && <Skeleton />}
        {!loading && !failed && days.length === 0 && (
          <p className="faint empty">
            No day with ten hours of readings, and no night with beats, in these {ASKED_DAYS} days.
          </p>
        )}
        {usual && heart && (
          <UsualLine
            title="Resting heart rate"
            unit="bpm"
            usual={usual}
            days={heart.days}
            zone={zone}
          />
        )}
        {variability && (
          <UsualLine
            title="RMSSD of the night"
            unit="ms"
            usual={variability}
            days={variabilityDays(days)}
            zone={zone}
          />
        )}
        {days.length > 0 && <RestTable days={days} zone={zone} />}
        {days.length > 0 && (
          <details className="methods">
            <summary>Methods</summary>
            {heart && (
              <p className="faint">
                Resting heart rate: {methods[heart.method] ?? `as ${heart.method} states it`}
              </p>
            )}
            {[...new Set(nights.answer?.columns.method ?? [])].map((method) => (
              <p key={method} className="faint">
                RMSSD and SDNN: {methods[method] ?? method}
              </p>
            ))}
            {(usual || variability) && <p className="faint">{RANGE_METHOD}</p>}
          </details>
        )}
      </div>
    </Card>
  );
}

const CHART = { width: 300, height: 54 };

/** The latest value against what is usual, and the days as dots over that range. */
function UsualLine(props: {
  title: string;
  unit: string;
  usual: Usual;
  days: readonly DayValue[];
  zone: string;
}) {
  const { title, unit, usual, days, zone } = props;
  const { latest, baseline, range, perWeek } = usual;
  const values = [...days.map(({ value }) => value), ...(range ?? [])];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const first = days[0]?.at ?? 0;
  const x = (at: number) => ((at - first) / Math.max(1, latest.at - first)) * CHART.width;
  const y = (value: number) => CHART.height * (1 - (value - low) / Math.max(0.1, high - low));
  const within = range === null || (latest.value >= range[0] && latest.value <= range[1]);
  const odd = ({ value }: DayValue) => range !== null && (value < range[0] || value > range[1]);
  return (
    <div className="usual">
      <p>
        <span className="faint">{title}</span>
        <br />
        <span className="figure">{decimalLabel(latest.value)}</span>{" "}
        <span className="faint">
          {unit}, {dateLabel(latest.at, zone)}
        </span>
        {range && (
          <span className={`badge badge-${within ? "good" : "warn"}`}>
            {within ? "usual" : latest.value < range[0] ? "below usual" : "above usual"}
          </span>
        )}
      </p>
      <p className="faint">
        Baseline {decimalLabel(baseline)}
        {range
          ? `, usually ${rangeText(range[0], range[1], 1) ?? decimalLabel(baseline)}`
          : `, of ${pluralLabel(usual.days, "day", "days")}; a usual range needs ${LEAST_DAYS}`}
        {perWeek !== null && `, ${trendLabel(perWeek, unit)}`}
      </p>
      <svg
        className="usual-chart"
        viewBox={`-4 -4 ${CHART.width + 8} ${CHART.height + 8}`}
        role="img"
        aria-label={`${title} of ${pluralLabel(days.length, "day", "days")}; the table has the numbers.`}
      >
        {range && (
          <rect
            className="usual-band"
            x={0}
            width={CHART.width}
            y={y(range[1])}
            height={y(range[0]) - y(range[1])}
          />
        )}
        <path className="usual-base" d={`M0 ${y(baseline)}h${CHART.width}`} />
        {days.map((day) => (
          <circle
            key={day.at}
            className={odd(day) ? "usual-odd" : "usual-dot"}
            cx={x(day.at)}
            cy={y(day.value)}
            r={3}
          />
        ))}
      </svg>
    </div>
  );
}

/** `rising by 0.4 bpm a week`; what rounds to nothing is steady. */
function trendLabel(perWeek: number, unit: string): string {
  const size = decimalLabel(Math.abs(perWeek));
  if (Number(Math.abs(perWeek).toFixed(1)) === 0) return "steady";
  return `${perWeek > 0 ? "rising" : "falling"} by ${size} ${unit} a week`;
}
const COLUMNS: readonly Column[] = [
  { title: "Day" },
  { title: "Resting", number: true },
  { title: "By sources", number: true },
];
const OF_NIGHTS: readonly Column[] = ["RMSSD", "SDNN"].map((title) => ({ title, number: true }));

function RestTable({ days, zone }: { days: readonly RestDay[]; zone: string }) {
  const hasNights = days.some((day) => day.rmssd !== null || day.sdnn !== null);
  return (
    <>
      <DataTable
        label="Rest by day"
        caption="Resting heart rate in bpm and variability of nights in ms, the latest first"
        columns={hasNights ? [...COLUMNS, ...OF_NIGHTS] : COLUMNS}
        rows={days.map((day) => ({
          key: day.date,
          cells: [
            dateLabel(day.start, zone),
            known(day.own),
            statedLabel(day),
            ...(hasNights ? [known(day.rmssd), known(day.sdnn)] : []),
          ],
        }))}
      />
      <p className="faint">
        Resting: the calmest half hour of a day, in bpm. Sources have rules of their own.
        {hasNights && " RMSSD and SDNN: of the night before the morning, 22:00 to 07:00, in ms."}
      </p>
    </>
  );
}

function known(value: number | null): string {
  return value === null ? "–" : decimalLabel(value);
}

function statedLabel({ stated }: RestDay): string {
  const texts = stated.map(({ value, method }) => {
    const number = value.toLocaleString(LOCALE, { maximumFractionDigits: 1 });
    return method === null ? number : `${number} ${method}`;
  });
  return texts.join(", ") || "–";
}
