/** Connecting a person to a source: a button, or what has to be set first. */
import type { Source } from "../api/types";
import { connect, isOnThisMachine, sourceName } from "../state/sources";
import { useChange } from "../state/useChange";
import { ErrorNotice } from "./ErrorNotice";

function notesOf({ server, missing }: Source): string {
  if (missing !== null) return `Not configured: ${missing}, and start the server again.`;
  if (server !== null && isOnThisMachine(server)) {
    return `A simulated cloud on this machine, if one runs at ${server}.`;
  }
  return `You are led to ${server}, and back here once you have agreed.`;
}

/** `userId` is empty while nobody is named. */
export function ConnectSource({ source, userId }: { source: Source; userId: string }) {
  const { busy, error, run } = useChange();
  const name = sourceName(source.source);
  return (
    <li>
      <div>
        <strong>{name}</strong>
        <p className="faint">{notesOf(source)}</p>
        {error !== null && <ErrorNotice error={error} onRetry={null} />}
      </div>
      {source.missing === null && (
        <button
          type="button"
          className="button"
          disabled={busy || userId === ""}
          aria-label={`Connect ${name}`}
          onClick={() => run((signal) => connect(userId, source.source, signal))}
        >
          Connect
        </button>
      )}
    </li>
  );
}
