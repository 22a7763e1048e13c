import { clockLabel, intervalLabel } from "../charts/labels";
import { LOCALE } from "../locale";
import type { Picture } from "../state/pictures";

/** What is in force: resolution, number of points, and when it was asked. */
export function StatusLine(props: { picture: Picture | null; zone: string; points: number }) {
  const { picture, zone } = props;
  if (!picture) return null;
  const points = props.points.toLocaleString(LOCALE);
  const per = picture.interval === "raw" ? "readings" : "points";
  return (
    <dl className="status">
      <div>
        <dt>Resolution</dt>
        <dd>{intervalLabel(picture.interval)}</dd>
      </div>
      <div>
        <dt>Shown</dt>
        <dd>
          {points} {per}
        </dd>
      </div>
      <div>
        <dt>As of</dt>
        <dd>{clockLabel(picture.askedAt, zone)}</dd>
      </div>
    </dl>
  );
}
