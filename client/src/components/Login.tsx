import { type FormEvent, type ReactNode, useState, useSyncExternalStore } from "react";
import { isKeyWanted, onKeyChange, takeKey } from "../api/key";

/** Shows what is inside until the server wants a key, and then asks for one. */
export function Login({ children }: { children: ReactNode }) {
  const wanted = useSyncExternalStore(onKeyChange, isKeyWanted);
  return wanted ? <KeyForm /> : children;
}

function KeyForm() {
  const [key, setKey] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (key.trim()) takeKey(key.trim());
  };
  return (
    <main className="login">
      <form className="login-form" onSubmit={submit}>
        <h1 className="side-title">Pulsebase asks for a key</h1>
        <p className="faint">
          Whoever runs the server makes one with “pulsebase keys create”. The tab forgets it when it
          is closed.
        </p>
        <input
          className="field"
          type="password"
          aria-label="Key"
          autoComplete="off"
          spellCheck={false}
          // biome-ignore lint/a11y/noAutofocus: there is nothing else on the page
          autoFocus
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        <button type="submit" className="button button-main" disabled={!key.trim()}>
          Go on
        </button>
      </form>
    </main>
  );
}
