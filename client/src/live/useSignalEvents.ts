/** What became of signals, the latest first: from what the server still knows, and on from there. */
import { useEffect, useRef, useState } from "react";
import type { StreamEvent } from "./events";
import { follow, type StreamState } from "./follow";

/** Of more than so many, the older ones are not shown. */
const MOST_EVENTS = 100;
/** The past comes in one go and is shown in one. */
const GATHER_MS = 150;
const KINDS = ["signal.raised", "signal.cleared"] as const;

export interface SignalEvent {
  id: string;
  kind: (typeof KINDS)[number];
  userId: string;
  /** The rule, as `GET /v1/signals` has it. */
  rule: { metric: string; above?: number; below?: number; silent_for?: string; for?: string };
  start: string;
  /** Of an episode that was cleared. */
  end: string | null;
  reason: string | null;
}

/** Null for what is no event of a signal. */
export function readSignalEvent({ id, kind, data }: StreamEvent): SignalEvent | null {
  const known = KINDS.find((one) => one === kind);
  if (!known || id === null) return null;
  const { user_id, start, end, reason, ...rule } = JSON.parse(data).data;
  return {
    id,
    kind: known,
    userId: user_id,
    rule,
    start,
    end: end ?? null,
    reason: reason ?? null,
  };
}

export interface SignalEvents {
  state: StreamState;
  events: readonly SignalEvent[];
  /** How many there were since the page was opened. */
  count: number;
}

export function useSignalEvents(): SignalEvents {
  const [state, setState] = useState<StreamState>({ kind: "connecting" });
  const [shown, setShown] = useState<Omit<SignalEvents, "state">>({ events: [], count: 0 });
  const gathered = useRef<SignalEvent[]>([]);
  useEffect(() => {
    const control = new AbortController();
    let timer = 0;
    gathered.current = [];
    const show = () => {
      timer = 0;
      const fresh = gathered.current;
      gathered.current = [];
      setShown(({ events, count }) => ({
        events: [...fresh.reverse(), ...events].slice(0, MOST_EVENTS),
        count: count + fresh.length,
      }));
    };
    const onEvent = (event: StreamEvent) => {
      const read = readSignalEvent(event);
      if (!read) return;
      gathered.current.push(read);
      timer ||= window.setTimeout(show, GATHER_MS);
    };
    const address = "/v1/signals/stream";
    void follow({ address, after: "0", onEvent, onState: setState }, control.signal);
    return () => {
      control.abort();
      window.clearTimeout(timer);
    };
  }, []);
  return { state, ...shown };
}
