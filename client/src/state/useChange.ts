import { useCallback, useEffect, useRef, useState } from "react";

export interface Change {
  busy: boolean;
  error: unknown;
  /** Does the work unless some is under way. What is not done when its place is left is cancelled. */
  run: (work: (signal: AbortSignal) => Promise<void>) => void;
}

/** A change that a button or a form asks for, and what became of it. */
export function useChange(): Change {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const control = useRef(new AbortController());
  useEffect(() => {
    control.current = new AbortController();
    return () => control.current.abort();
  }, []);
  const run = useCallback((work: (signal: AbortSignal) => Promise<void>) => {
    const { signal } = control.current;
    setBusy(true);
    setError(null);
    work(signal)
      .catch((failure: unknown) => signal.aborted || setError(failure))
      .finally(() => signal.aborted || setBusy(false));
  }, []);
  return { busy, error, run };
}
