/** What the server keeps about one person: top hours, devices. */
import type { Device, TopHour } from "../../api/types";
import { dateLabel, stretchLabel } from "../../charts/labels";
import { Answered, Card } from "../../components/Card";
import { type Column, DataTable } from "../../components/DataTable";
import { dotScale } from "../../figures/axis";
import { countLabel, decimalLabel } from "../../figures/words";
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
    <Card title="Top hours" note="the highest average heart rates of an hour">
      <Answered of={answer} empty={empty}>
        {({ data }) => <HourList hours={data.filter(isFigures)} zone={zone} />}
      </Answered>
    </Card>
  );
}

/** Each hour as a dot between the same two ends, which are told below. */
function HourList({ hours, zone }: { hours: TopHour[]; zone: string }) {
  const [low, high] = dotScale(hours.map(({ avg }) => avg));
  return (
    <>
      <ol className="rows">
        {hours.map(({ hour, avg }) => {
          const start = Date.parse(hour);
          const span = { start, end: start + HOUR_MS };
          return (
            <li key={hour} className="scaled">
              <button type="button" className="link" onClick={() => zoomTo({ kind: "span", span })}>
                {stretchLabel(span, zone)}
              </button>
              <span className="dot-scale" aria-hidden="true">
                <span style={{ left: `${((avg - low) / (high - low)) * 100}%` }} />
              </span>
              <span className="number">{decimalLabel(avg)} bpm</span>
            </li>
          );
        })}
      </ol>
      <p className="scaled faint" aria-hidden="true">
        <span />
        <span className="dot-ends">
          <span>{low}</span>
          <span>{high}</span>
        </span>
        <span className="number">bpm</span>
      </p>
    </>
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

const COLUMNS: readonly Column[] = [
  { title: "Device" },
  { title: "Priority", number: true },
  { title: "Readings", number: true },
  { title: "Last reading" },
];

function DeviceTable({ devices, zone }: { devices: Device[]; zone: string }) {
  return (
    <DataTable
      label="Table of devices"
      caption="Devices of this person"
      columns={COLUMNS}
      rows={devices.map((device) => ({
        key: device.device_id,
        cells: [
          device.device_id,
          String(device.priority),
          countLabel(device.readings),
          device.last_reading ? dateLabel(Date.parse(device.last_reading), zone) : "–",
        ],
      }))}
    />
  );
}
