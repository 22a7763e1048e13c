/** Sending readings here: commands to copy, with a key that is made here where one is needed. */
import { useId, useState } from "react";
import { change } from "../../api/change";
import type { MadeKey } from "../../api/types";
import { Card } from "../../components/Card";
import { CopyBlock } from "../../components/CopyBlock";
import { ErrorNotice } from "../../components/ErrorNotice";
import { lacks, useAccess } from "../../state/useAccess";
import { useChange } from "../../state/useChange";
import { commandsFor } from "./commands";

const NO_KEY = "YOUR_KEY";

function MakeKey({ user, onMade }: { user: string; onMade: (made: MadeKey) => void }) {
  const [name, setName] = useState("");
  const { busy, error, run } = useChange();
  const id = useId();
  const make = async (signal: AbortSignal) => {
    const body = { name: name.trim(), user_ids: [user] };
    onMade(await change<MadeKey>("POST", "/v1/keys", signal, {}, body));
  };
  return (
    <form
      className="make-key"
      onSubmit={(event) => {
        event.preventDefault();
        run(make);
      }}
    >
      <label className="field-label" htmlFor={id}>
        What the key is for
      </label>
      <div className="with-button">
        <input
          id={id}
          className="field"
          autoComplete="off"
          placeholder="phone, say"
          maxLength={64}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <button type="submit" className="button" disabled={busy || name.trim() === ""}>
          Make a key
        </button>
      </div>
      {error !== null && <ErrorNotice error={error} onRetry={null} />}
    </form>
  );
}

function KeyPart(props: { user: string; made: MadeKey | null; onMade: (made: MadeKey) => void }) {
  const { user, made, onMade } = props;
  const access = useAccess();
  if (access === null || access.access === "off") {
    return <p className="faint">No key is needed on this machine.</p>;
  }
  if (made) {
    return (
      <>
        <CopyBlock label={`The key “${made.name}”, which is not shown again`} text={made.key} />
        <p className="faint">
          It sends readings of {made.user_ids?.join(", ")} and opens nothing else. “pulsebase keys
          revoke {made.name}” takes it back.
        </p>
      </>
    );
  }
  if (lacks(access, "admin")) {
    return (
      <p className="faint">
        A key with the scope “ingest” is needed in place of {NO_KEY}. Whoever runs the server makes
        one.
      </p>
    );
  }
  return <MakeKey user={user} onMade={onMade} />;
}

export function PushCard({ user }: { user: string }) {
  const [person, setPerson] = useState(user);
  const [made, setMade] = useState<MadeKey | null>(null);
  const [now] = useState(() => Date.now());
  const access = useAccess();
  const id = useId();
  const key = access?.access === "on" ? (made?.key ?? NO_KEY) : null;
  const who = person.trim() || "me";
  const commands = commandsFor({ origin: window.location.origin, user: who, key, now });
  return (
    <Card title="Send readings here" note="from a device, an app or a program of yours">
      <label className="field-label" htmlFor={id}>
        Stored under this person
      </label>
      <input
        id={id}
        className="field"
        autoComplete="off"
        spellCheck={false}
        placeholder="an id, such as me"
        value={person}
        onChange={(event) => {
          setPerson(event.target.value);
          setMade(null);
        }}
      />
      <div className="push-key">
        <KeyPart user={who} made={made} onMade={setMade} />
      </div>
      {commands.map(({ label, text }) => (
        <CopyBlock key={label} label={label} text={text} />
      ))}
    </Card>
  );
}
