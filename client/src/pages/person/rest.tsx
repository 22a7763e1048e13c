/** Resting heart rate, ours beside those of sources, and the variability of nights. */
import { dateLabel } from "../../charts/labels";
import { Card, Skeleton } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { TableScroll } from "../../components/TableScroll";
import { lastDates, type RestDay, restDays } from "../../figures/rest";
import { decimalLabel } from "../../figures/words";
import { LOCALE } from "../../locale";
import { useAnswer } from "../../state/useAnswer";
import type { Span } from "../../time/range";

/** So many days are asked for and shown: each of them is worked out from the readings. */
const MOST_DAYS = 31;

export function RestCard(props: { userId: string; span: Span; zone: string }) {
  const { userId, span, zone } = props;
  const { first, last } = lastDates(span, zone, MOST_DAYS);
  const question = {
    query: { start_date: first, end_date: last, tz: zone },
    inPath: { user_id: userId },
    subject: userId,
  };
  const resting = useAnswer({ path: "/v1/users/{user_id}/resting-heart-rate", ...question });
  const nights = useAnswer({
    path: "/v1/users/{user_id}/hrv",
    ...question,
    query: { ...question.query, window: "night" as const },
  });
  const answers = [resting, nights];
  const failed = answers.find(({ error }) => error !== null);
  const loading = answers.some((one) => one.loading);
  const days = restDays(resting.answer?.columns ?? null, nights.answer?.columns ?? null, zone);
  return (
    <Card title="Rest" note={`the last ${MOST_DAYS} days of the range at most`}>
      <div className="answered" aria-busy={loading}>
        {failed && <ErrorNotice error={failed.error} onRetry={failed.retry} />}
        {loading && days.length === 0 && <Skeleton />}
        {!loading && !failed && days.length === 0 && (
          <p className="faint empty">
            No day with ten hours of readings, and no night with beats, in this range.
          </p>
        )}
        {days.length > 0 && <RestTable days={days} zone={zone} />}
      </div>
    </Card>
  );
}

function RestTable({ days, zone }: { days: readonly RestDay[]; zone: string }) {
  const hasNights = days.some((day) => day.rmssd !== null || day.sdnn !== null);
  return (
    <>
      <TableScroll label="Rest by day">
        <table>
          <caption className="visually-hidden">
            Resting heart rate in bpm and variability of nights in ms, the latest first
          </caption>
          <thead>
            <tr>
              <th scope="col">Day</th>
              <th scope="col" className="number">
                Resting
              </th>
              <th scope="col" className="number">
                By sources
              </th>
              {hasNights && (
                <>
                  <th scope="col" className="number">
                    RMSSD
                  </th>
                  <th scope="col" className="number">
                    SDNN
                  </th>
                </>
              )}
            </tr>
          </thead>
          <tbody>
            {days.map((day) => (
              <tr key={day.date}>
                <th scope="row">{dateLabel(day.start, zone)}</th>
                <td className="number">{known(day.own)}</td>
                <td className="number">{statedLabel(day)}</td>
                {hasNights && (
                  <>
                    <td className="number">{known(day.rmssd)}</td>
                    <td className="number">{known(day.sdnn)}</td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </TableScroll>
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
