import {
  type FormEvent,
  type ReactNode,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { ApiError, explain } from "../api/errors";
import { authorizationBy, keyState, onKeyChange, takeKey } from "../api/key";
import { requestWith } from "../api/request";

const WRONG = "This key opens nothing here: it is mistyped, expired or revoked.";

/** Shows what is inside until the server wants a key, and then asks for one. */
export function Login({ children }: { children: ReactNode }) {
  const { wanted, refused } = useSyncExternalStore(onKeyChange, keyState);
  return wanted ? <KeyForm refused={refused} /> : children;
}

function reasonOf(error: unknown): string {
  if (error instanceof ApiError && error.status === 401) return WRONG;
  const { headline, detail } = explain(error);
  return detail ? `${headline} ${detail}` : headline;
}

function KeyForm({ refused }: { refused: boolean }) {
  const [key, setKey] = useState("");
  const [remember, setRemember] = useState(false);
  const [problem, setProblem] = useState(refused ? WRONG : null);
  const [asking, setAsking] = useState(false);
  const control = useRef(new AbortController());
  useEffect(() => {
    control.current = new AbortController();
    return () => control.current.abort();
  }, []);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const typed = key.trim();
    if (!typed || asking) return;
    setAsking(true);
    setProblem(null);
    try {
      await requestWith("/v1/access", control.current.signal, authorizationBy(typed));
      takeKey(typed, remember);
    } catch (error) {
      if (control.current.signal.aborted) return;
      setProblem(reasonOf(error));
      setKey("");
    }
    setAsking(false);
  };
  return (
    <main className="login">
      <form className="login-form" onSubmit={submit}>
        <h1 className="side-title">Pulsebase asks for a key</h1>
        <p className="faint">Whoever runs the server makes one with “pulsebase keys create”.</p>
        <input
          className="field"
          type="password"
          aria-label="Key"
          aria-invalid={problem !== null}
          aria-describedby="key-problem"
          autoComplete="off"
          spellCheck={false}
          // biome-ignore lint/a11y/noAutofocus: there is nothing else on the page
          autoFocus
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        <p id="key-problem" className="bad login-problem" role="alert">
          {problem}
        </p>
        <label className="choice">
          <input
            type="checkbox"
            checked={remember}
            onChange={(event) => setRemember(event.target.checked)}
          />
          Remember the key on this device
        </label>
        <p className="faint">
          Otherwise the tab forgets it when it is closed. Remember it on a device of your own alone.
        </p>
        <button type="submit" className="button button-main" disabled={!key.trim() || asking}>
          Go on
        </button>
      </form>
    </main>
  );
}
