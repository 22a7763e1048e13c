/** The clouds a person is connected to, and can be connected to or disconnected from. */
import { useState } from "react";
import type { Connection, Source } from "../../api/types";
import { dateLabel } from "../../charts/labels";
import { Answered, Card } from "../../components/Card";
import { ConnectSource } from "../../components/ConnectSource";
import { ErrorNotice } from "../../components/ErrorNotice";
import { agoLabel } from "../../figures/words";
import { onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { disconnect, sourceName } from "../../state/sources";
import { lacks, useAccess } from "../../state/useAccess";
import { useAnswer } from "../../state/useAnswer";
import { useChange } from "../../state/useChange";

const STATES: Record<Connection["state"], { label: string; tone: string }> = {
  ok: { label: "Working", tone: "good" },
  new: { label: "Not brought yet", tone: "plain" },
  waiting: { label: "Waiting to try again", tone: "warn" },
  "needs-person": { label: "Needs connecting again", tone: "bad" },
};

interface Known {
  userId: string;
  connections: readonly Connection[];
  sources: readonly Source[];
  zone: string;
  onChanged: () => void;
}

export function SourcesCard({ userId, zone }: { userId: string; zone: string }) {
  const [again, setAgain] = useState(0);
  const connected = useAnswer({
    path: "/v1/users/{user_id}/sources",
    query: {},
    inPath: { user_id: userId },
    subject: userId,
    again,
  });
  const offered = useAnswer({ path: "/v1/sources", query: {}, subject: "sources" });
  return (
    <Card title="Sources">
      <Answered of={connected} empty={() => null}>
        {({ data }) => (
          <Sources
            userId={userId}
            connections={data}
            sources={offered.answer?.data ?? []}
            zone={zone}
            onChanged={() => setAgain((count) => count + 1)}
          />
        )}
      </Answered>
    </Card>
  );
}

function Sources({ userId, connections, sources, zone, onChanged }: Known) {
  const mayChange = !lacks(useAccess(), "ingest");
  const names = new Set(connections.map(({ source }) => source));
  const others = sources.filter(({ source }) => !names.has(source));
  const ready = others.filter(({ missing }) => missing === null);
  const lacking = others.filter(({ missing }) => missing !== null);
  return (
    <>
      {connections.length === 0 && (
        <p className="faint empty">Not connected to any wearable cloud.</p>
      )}
      <ul className="rows rows-tall">
        {connections.map((connection) => (
          <Connected
            key={connection.source}
            connection={connection}
            zone={zone}
            mayChange={mayChange}
            onChanged={onChanged}
          />
        ))}
        {mayChange &&
          ready.map((source) => (
            <ConnectSource key={source.source} source={source} userId={userId} />
          ))}
      </ul>
      {mayChange && lacking.length > 0 && (
        <p className="faint">
          Not configured on this server:{" "}
          {lacking.map(({ source }) => sourceName(source)).join(", ")}.{" "}
          <a href={addressOf("import")} onClick={onFollow}>
            What is missing
          </a>
        </p>
      )}
    </>
  );
}

function Connected(props: {
  connection: Connection;
  zone: string;
  mayChange: boolean;
  onChanged: () => void;
}) {
  const { connection, zone, mayChange, onChanged } = props;
  const { user_id: userId, source } = connection;
  const { label, tone } = STATES[connection.state];
  const { busy, error, run } = useChange();
  const name = sourceName(source);
  const now = Date.now();
  const ago = (at: string | null) => (at ? agoLabel(Date.parse(at), now) : "never");
  const leave = async (signal: AbortSignal) => {
    await disconnect(userId, source, signal);
    onChanged();
  };
  return (
    <li>
      <div>
        <strong>{name}</strong> <span className={`badge badge-${tone}`}>{label}</span>
        <p className="faint">
          Last reading {ago(connection.last_reading)} · last run {ago(connection.last_run)} ·
          connected {dateLabel(Date.parse(connection.connected), zone)}
        </p>
        {connection.problem && <p>{connection.problem}</p>}
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
      </div>
      {mayChange && (
        <button
          type="button"
          className="button"
          disabled={busy}
          aria-label={`Disconnect ${name}`}
          title="Nothing is brought any more; readings stay"
          onClick={() => run(leave)}
        >
          Disconnect
        </button>
      )}
    </li>
  );
}
