/** What the server keeps about one person: top hours, sources, devices. */
import type { Connection, Device, TopHour } from "../../api/types";
import { dateLabel, stretchLabel } from "../../charts/labels";
import { Answered, Card } from "../../components/Card";
import { TableScroll } from "../../components/TableScroll";
import { agoLabel, decimalLabel } from "../../figures/words";
import { useAnswer } from "../../state/useAnswer";
import { zoomTo } from "../../state/useView";
import type { Span } from "../../time/range";
import { instantText } from "../../time/range";

const HOUR_MS = 3_600_000;
const MOST_HOURS = 8;

const isFigures = (hour: TopHour | number): hour is TopHour => typeof hour === "object";

export function TopHoursCard(props: { userId: string; span: Span; zone: string }) {
  const { userId, span, zone } = props;
  const answer = useAnswer({
    path: "/v1/users/{user_id}/heart-rate/top-hours",
    query: {
      start: instantText(span.start),
      end: instantText(span.end),
      limit: MOST_HOURS,
      include: "hours",
      tz: zone,
    },
    inPath: { user_id: userId },
    subject: userId,
  });
  const empty = ({ data }: { data: unknown[] }) => {
    return data.length === 0 ? "No whole hours with readings in this range." : null;
  };
  return (
    <Card title="Top hours" note="highest hourly averages">
      <Answered of={answer} empty={empty}>
        {({ data }) => <HourList hours={data.filter(isFigures)} zone={zone} />}
      </Answered>
    </Card>
  );
}

function HourList({ hours, zone }: { hours: TopHour[]; zone: string }) {
  const highest = hours[0]?.avg ?? 1;
  return (
    <ol className="rows">
      {hours.map(({ hour, avg }) => {
        const start = Date.parse(hour);
        const span = { start, end: start + HOUR_MS };
        return (
          <li key={hour}>
            <button type="button" className="link" onClick={() => zoomTo({ kind: "span", span })}>
              {stretchLabel(span, zone)}
            </button>
            <span className="bar" aria-hidden="true">
              <span style={{ width: `${(avg / highest) * 100}%` }} />
            </span>
            <span className="number">{decimalLabel(avg)} bpm</span>
          </li>
        );
      })}
    </ol>
  );
}

const STATES: Record<Connection["state"], { label: string; tone: string }> = {
  ok: { label: "Working", tone: "good" },
  new: { label: "Not brought yet", tone: "plain" },
  waiting: { label: "Waiting to try again", tone: "warn" },
  "needs-person": { label: "Needs connecting again", tone: "bad" },
};

export function SourcesCard({ userId, zone }: { userId: string; zone: string }) {
  const answer = useAnswer({
    path: "/v1/users/{user_id}/sources",
    query: {},
    inPath: { user_id: userId },
    subject: userId,
  });
  return (
    <Card title="Sources">
      <Answered
        of={answer}
        empty={({ data }) => (data.length === 0 ? "Not connected to any wearable cloud." : null)}
      >
        {({ data }) => (
          <ul className="rows rows-tall">
            {data.map((connection) => (
              <Source key={connection.source} connection={connection} zone={zone} />
            ))}
          </ul>
        )}
      </Answered>
    </Card>
  );
}

function Source({ connection, zone }: { connection: Connection; zone: string }) {
  const { label, tone } = STATES[connection.state];
  const now = Date.now();
  const ago = (at: string | null) => (at ? agoLabel(Date.parse(at), now) : "never");
  return (
    <li>
      <div>
        <strong>{connection.source}</strong> <span className={`badge badge-${tone}`}>{label}</span>
        <p className="faint">
          Last reading {ago(connection.last_reading)} · last run {ago(connection.last_run)} ·
          connected {dateLabel(Date.parse(connection.connected), zone)}
        </p>
        {connection.problem && <p>{connection.problem}</p>}
      </div>
    </li>
  );
}

export function DevicesCard({ userId, zone }: { userId: string; zone: string }) {
  const answer = useAnswer({
    path: "/v1/users/{user_id}/devices",
    query: {},
    inPath: { user_id: userId },
    subject: userId,
  });
  return (
    <Card title="Devices" note="the lower priority number is believed first">
      <Answered of={answer} empty={({ data }) => (data.length === 0 ? "No devices yet." : null)}>
        {({ data }) => <DeviceTable devices={data} zone={zone} />}
      </Answered>
    </Card>
  );
}

function DeviceTable({ devices, zone }: { devices: Device[]; zone: string }) {
  return (
    <TableScroll label="Devices">
      <table>
        <caption className="visually-hidden">Devices of this person</caption>
        <thead>
          <tr>
            <th scope="col">Device</th>
            <th scope="col" className="number">
              Priority
            </th>
            <th scope="col" className="number">
              Readings
            </th>
            <th scope="col">Last reading</th>
          </tr>
        </thead>
        <tbody>
          {devices.map((device) => (
            <tr key={device.device_id}>
              <th scope="row">{device.device_id}</th>
              <td className="number">{device.priority}</td>
              <td className="number">{device.readings.toLocaleString()}</td>
              <td>
                {device.last_reading ? dateLabel(Date.parse(device.last_reading), zone) : "–"}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}
