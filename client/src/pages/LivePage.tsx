import { useEffect, useMemo, useState } from "react";
import { explain } from "../api/errors";
import { clockLabel } from "../charts/labels";
import { FigureList } from "../components/FigureList";
import { PersonSearch } from "../components/PersonSearch";
import { PlainChart } from "../components/PlainChart";
import { type Line, pointAt } from "../figures/line";
import { agoLabel } from "../figures/words";
import type { StreamState } from "../live/follow";
import { type Live, useLive } from "../live/useLive";
import { useTick } from "../live/useTick";
import { goToSearch, useSearch } from "../state/navigation";
import { MAX_PEOPLE, parseView } from "../state/url";
import { useColours } from "../state/useColours";
import { useDirectory, useRecords } from "../state/usePeople";
import { browserZone } from "../time/zone";

const MINUTE_MS = 60_000;
const WINDOWS = [1, 5, 15, 60] as const;
const DEFAULT_WINDOW = 5;
const FEW_PEOPLE = 4;
const STEP_MS = 1000;
/** A figure older than this is shown as such. */
const STALE_MS = 60_000;

function windowOf(search: string): number {
  const minutes = Number(new URLSearchParams(search).get("window")?.replace(/m$/, ""));
  return WINDOWS.find((one) => one === minutes) ?? DEFAULT_WINDOW;
}

/** An address without people is completed with those there are, if they are few. */
function useLivePeople(search: string) {
  const chosen = useMemo(() => parseView(search).people, [search]);
  const directory = useDirectory("", chosen === null);
  const { answered, users, hasMore } = directory;
  useEffect(() => {
    if (chosen !== null || answered !== "") return;
    const few = !hasMore && users.length <= FEW_PEOPLE;
    const people = few && users.length > 0 ? users.map((user) => user.user_id) : [""];
    goToSearch({ people }, "replace");
  }, [chosen, answered, users, hasMore]);
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

/** The newest reading, or the one under the cursor. */
function figureOf(line: Line, instant: number | null, now: number, zone: string) {
  const index = instant === null ? line.from.length - 1 : pointAt(line, instant);
  const at = index === null ? undefined : line.from[index];
  const value = index === null ? undefined : line.value[index];
  if (at === undefined || value === undefined) {
    return { value: null, note: `no reading ${instant === null ? "in these minutes" : "here"}` };
  }
  return { value, note: clockLabel(at, zone), faded: instant === null && now - at > STALE_MS };
}

/** Lines are made anew with each piece of news and each second, since the window moves on. */
function useLines(live: Live, people: readonly string[], now: number, windowMs: number): Line[] {
  const who = people.join(" ");
  const { buffer, version, prioritiesOf } = live;
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that the buffer has changed.
  return useMemo(() => {
    const since = now - windowMs;
    buffer.forgetBefore(since);
    return who ? who.split(" ").map((id) => buffer.line(id, since, prioritiesOf(id))) : [];
  }, [buffer, version, who, now, windowMs]);
}

/** The last minutes of some people as they happen. */
export function LivePage() {
  const search = useSearch();
  const minutes = windowOf(search);
  const windowMs = minutes * MINUTE_MS;
  const zone = useMemo(() => parseView(search).zone ?? browserZone(), [search]);
  const { people, records, failure } = useLivePeople(search);
  const now = useTick(STEP_MS);
  const live = useLive(people, windowMs);
  const lines = useLines(live, people, now, windowMs);
  const { theme, colourOf } = useColours(people);
  const [instant, setInstant] = useState<number | null>(null);
  const newest = Math.max(now, ...lines.map((line) => line.from.at(-1) ?? 0));
  const span = useMemo(() => ({ start: newest - windowMs, end: newest }), [newest, windowMs]);
  const nameOf = (id: string) => records.get(id)?.name ?? id;
  const choose = (next: readonly string[]) => {
    goToSearch({ people: next.length > 0 ? next : [""] });
  };
  const empty = !lines.some((line) => line.from.length > 0);
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
          disabled={people.length >= MAX_PEOPLE}
          onChoose={(id) => choose([...people, id])}
        />
      </div>
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
            <LiveBlank people={people.length} state={live.state} failed={failure !== null} />
          )}
        </div>
      </section>
    </main>
  );
}

function LiveBlank({
  people,
  state,
  failed,
}: {
  people: number;
  state: StreamState;
  failed: boolean;
}) {
  if (people === 0) {
    return (
      <div className="blank">
        <h2>{failed ? "Pulsebase does not answer" : "Nobody is chosen"}</h2>
        <p>Add up to {MAX_PEOPLE} people to see their readings as they come.</p>
      </div>
    );
  }
  if (state.kind === "connecting") return <div className="blank faint">Connecting…</div>;
  return (
    <div className="blank">
      <h2>No readings in these minutes</h2>
      <p>They appear here within a second of reaching the server.</p>
    </div>
  );
}
