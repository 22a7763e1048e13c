import { clockLabel, intervalLabel } from "../charts/labels";
import type { Picture } from "../state/pictures";
import type { Span } from "../time/range";
import { offsetLabel } from "../time/zone";

/** What is in force: resolution, table, number of points, zone, and when it was asked. */
export function StatusLine(props: {
  picture: Picture | null;
  span: Span;
  zone: string;
  points: number;
}) {
  const { picture, span, zone } = props;
  if (!picture) return null;
  const offset = offsetLabel(span.end, zone);
  const points = props.points.toLocaleString();
  const per = picture.interval === "raw" ? "readings" : "points";
  return (
    <dl className="status">
      <div>
        <dt>Resolution</dt>
        <dd>{intervalLabel(picture.interval)}</dd>
      </div>
      <div>
        <dt>Table</dt>
        <dd>
          <code>{picture.table}</code>
        </dd>
      </div>
      <div>
        <dt>Shown</dt>
        <dd>
          {points} {per}
        </dd>
      </div>
      <div>
        <dt>Times in</dt>
        <dd>
          {zone.replaceAll("_", " ")}
          {offset !== zone && ` (${offset})`}
        </dd>
      </div>
      <div>
        <dt>As of</dt>
        <dd>{clockLabel(picture.askedAt, zone)}</dd>
      </div>
    </dl>
  );
}
