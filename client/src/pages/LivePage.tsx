import { useEffect, useMemo, useState } from "react";
import { explain } from "../api/errors";
import type { User } from "../api/types";
import { clockLabel, dateLabel } from "../charts/labels";
import { FigureList } from "../components/FigureList";
import { OtherMetrics } from "../components/MetricPicker";
import { PersonSearch } from "../components/PersonSearch";
import { PlainChart } from "../components/PlainChart";
import { agoLabel, pluralLabel } from "../figures/words";
import type { StreamState } from "../live/follow";
import { useLive } from "../live/useLive";
import { useTick } from "../live/useTick";
import { goToSearch, onFollow, useSearch } from "../state/navigation";
import { addressOf } from "../state/route";
import { parseView } from "../state/url";
import { useMostPeople, useSettledMostPeople } from "../state/useAccess";
import { useColours } from "../state/useColours";
import { useMetrics } from "../state/useMetrics";
import { useDirectory, useRecords } from "../state/usePeople";
import { browserZone } from "../time/zone";
import { LivePane, type LiveView } from "./live/LivePane";
import { figureOf, useLines } from "./live/lines";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const WINDOWS = [1, 5, 15, 60] as const;
const DEFAULT_WINDOW = 5;
const MOST_PROPOSED = 4;
const STEP_MS = 1000;

function windowOf(search: string): number {
  const minutes = Number(new URLSearchParams(search).get("window")?.replace(/m$/, ""));
  return WINDOWS.find((one) => one === minutes) ?? DEFAULT_WINDOW;
}

/** Whoever was measured last, by whole hours, comes first; without readings, nobody is proposed. */
function lastMeasured(users: readonly User[], now: number, few: number): string[] {
  const hoursAgo = (user: User) => {
    return Math.max(0, Math.floor((now - Date.parse(user.last_reading ?? "")) / HOUR_MS));
  };
  const measured = users.filter((user) => user.last_reading !== null);
  const order = measured.sort((a, b) => hoursAgo(a) - hoursAgo(b));
  return order.slice(0, few).map((user) => user.user_id);
}

/** An address without people is completed with those who have the newest readings. */
function useLivePeople(search: string) {
  const chosen = useMemo(() => parseView(search).people, [search]);
  const directory = useDirectory("", chosen === null);
  const most = useSettledMostPeople();
  const { answered, users } = directory;
  useEffect(() => {
    if (chosen !== null || answered !== "" || most === null) return;
    const people = lastMeasured(users, Date.now(), Math.min(MOST_PROPOSED, most));
    goToSearch({ people: people.length > 0 ? people : [""] }, "replace");
  }, [chosen, answered, users, most]);
  const people = chosen ?? [];
  return { people, records: useRecords(people, directory.users), failure: directory.error };
}

function StateBadge({
  state,
  heardAt,
  now,
}: {
  state: StreamState;
  heardAt: number | null;
  now: number;
}) {
  const last = heardAt === null ? "" : ` Last news ${agoLabel(Math.min(heardAt, now), now)}.`;
  if (state.kind === "open") return <Badge tone="good" text="Live" detail={last} />;
  if (state.kind === "connecting") return <Badge tone="plain" text="Connecting…" detail="" />;
  const reason = state.error === null ? "The stream ended." : explain(state.error).headline;
  return (
    <Badge
      tone="warn"
      text="Reconnecting…"
      detail={` ${reason} What is missed is fetched once it is back.${last}`}
    />
  );
}

function Badge({ tone, text, detail }: { tone: string; text: string; detail: string }) {
  return (
    <p className="live-state">
      {/* The state is told to screen readers as it changes; the running age is not. */}
      <span className={`badge badge-${tone}`} role="status">
        {text}
      </span>
      <span className="faint">{detail}</span>
    </p>
  );
}

/** The last minutes of some people as they happen. */
export function LivePage() {
  const search = useSearch();
  const minutes = windowOf(search);
  const windowMs = minutes * MINUTE_MS;
  const { zone, others } = useMemo(() => {
    const view = parseView(search);
    return { zone: view.zone ?? browserZone(), others: view.others };
  }, [search]);
  const { people, records, failure } = useLivePeople(search);
  const now = useTick(STEP_MS);
  const known = useMemo(() => people.filter((id) => records.has(id)), [people, records]);
  const metrics = useMetrics(known, others, true);
  const shown = others.flatMap((name) => metrics.recordOf(name) ?? []);
  const live = useLive(people, ["heart_rate", ...shown.map(({ metric }) => metric)], windowMs);
  const lines = useLines(live, "heart_rate", people, now, windowMs);
  const { theme, colourOf } = useColours(people);
  const [instant, setInstant] = useState<number | null>(null);
  const newest = Math.max(now, ...lines.map((line) => line.from.at(-1) ?? 0));
  const span = useMemo(() => ({ start: newest - windowMs, end: newest }), [newest, windowMs]);
  const nameOf = (id: string) => records.get(id)?.name ?? id;
  const choose = (next: readonly string[]) => {
    goToSearch({ people: next.length > 0 ? next : [""] });
  };
  const most = useMostPeople();
  const empty = !lines.some((line) => line.from.length > 0);
  const about = { live, people, nameOf, colourOf, now, span, zone, theme };
  const view: LiveView = { ...about, instant, onInstant: setInstant };
  return (
    <main className="main main-alone">
      <div className="person-head">
        <div>
          <h1>Live</h1>
          {people.length > 0 && <StateBadge state={live.state} heardAt={live.heardAt} now={now} />}
        </div>
        <PersonSearch
          label="Add a person"
          placeholder="Search by name or id"
          without={people}
          disabled={people.length >= most}
          onChoose={(id) => choose([...people, id])}
        />
      </div>
      <div className="toolbar">
        <fieldset className="presets windows">
          <legend className="visually-hidden">How much is shown</legend>
          {WINDOWS.map((one) => (
            <button
              key={one}
              type="button"
              className="preset"
              aria-pressed={one === minutes}
              onClick={() => goToSearch({ window: [`${one}m`] })}
            >
              {one === 60 ? "1 hour" : `${one} min`}
            </button>
          ))}
        </fieldset>
        <OtherMetrics
          offered={metrics.offered}
          chosen={others}
          onChange={(next) => goToSearch({ metric: next })}
        />
      </div>
      <UnknownMetrics names={others.filter((name) => metrics.unknown(name))} />
      <section className="panel" aria-label="Chart">
        <FigureList
          figures={lines.map((line) => ({
            id: line.userId,
            name: nameOf(line.userId),
            colour: colourOf(line.userId),
            ...figureOf(line, instant, now, zone),
          }))}
          onRemove={(id) => choose(people.filter((one) => one !== id))}
        />
        <div className="chart-frame" data-empty={empty}>
          <PlainChart
            lines={lines}
            colourOf={colourOf}
            span={span}
            zone={zone}
            theme={theme}
            description={`Heart rate of ${people.map(nameOf).join(", ")} in the last ${minutes} minutes`}
            instant={instant}
            onHover={setInstant}
          />
          {empty && (
            <LiveBlank
              people={people}
              records={records}
              state={live.state}
              failed={failure !== null}
              zone={zone}
            />
          )}
        </div>
        {people.length > 0 &&
          shown.map((record) => (
            <LivePane
              key={record.metric}
              view={view}
              record={record}
              lowest={record === shown.at(-1)}
              onRemove={() =>
                goToSearch({ metric: others.filter((name) => name !== record.metric) })
              }
            />
          ))}
      </section>
    </main>
  );
}

/** What the address names and the server does not know. */
function UnknownMetrics({ names }: { names: readonly string[] }) {
  if (names.length === 0) return null;
  return (
    <div className="notice" role="status">
      <p>
        No metric of this server: <strong>{names.join(", ")}</strong>
      </p>
    </div>
  );
}

/** When somebody was measured last, with the way to see it. */
function LastReading({ user, zone }: { user: User; zone: string }) {
  const last = user.last_reading ? Date.parse(user.last_reading) : null;
  const name = user.name ?? user.user_id;
  if (last === null) return <li>{name}: no readings yet</li>;
  return (
    <li>
      <a
        href={addressOf("person", `?people=${encodeURIComponent(user.user_id)}`)}
        onClick={onFollow}
      >
        {name}
      </a>
      : last measured on {dateLabel(last, zone)}, {clockLabel(last, zone)}
    </li>
  );
}

function LiveBlank(props: {
  people: readonly string[];
  records: ReadonlyMap<string, User | null>;
  state: StreamState;
  failed: boolean;
  zone: string;
}) {
  const { people, records, state, failed, zone } = props;
  const most = useMostPeople();
  if (people.length === 0) {
    return (
      <div className="blank">
        <h2>{failed ? "Pulsebase does not answer" : "Nobody is chosen"}</h2>
        <p>Add up to {pluralLabel(most, "person", "people")} to see their readings as they come.</p>
      </div>
    );
  }
  if (state.kind === "connecting") return <div className="blank faint">Connecting…</div>;
  return (
    <div className="blank">
      <h2>No readings in these minutes</h2>
      <p>They appear here within a second of reaching the server.</p>
      <ul className="last-readings">
        {people.map((id) => {
          const user = records.get(id);
          return user ? <LastReading key={id} user={user} zone={zone} /> : null;
        })}
      </ul>
    </div>
  );
}
