/** Follows a stream of the server, again and again, until it is told to stop. */
import { request } from "../api/client";
import { ApiError } from "../api/errors";
import { EventParser, type StreamEvent } from "./events";

/** Three of the server's signs of life in a row that did not come: the connection is dead. */
const SILENCE_MS = 45_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export type StreamState =
  | { kind: "connecting" }
  | { kind: "open" }
  | { kind: "waiting"; error: unknown };

export interface Follower {
  address: string;
  /** The event after which it is to begin; without one it begins with the next. */
  after?: string;
  onEvent: (event: StreamEvent) => Promise<void> | void;
  onState: (state: StreamState) => void;
}

/** Waits, but no longer than until the network comes back. */
function pause(lengthMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = window.setTimeout(end, lengthMs);
    function end() {
      window.clearTimeout(timer);
      window.removeEventListener("online", end);
      signal.removeEventListener("abort", end);
      done();
    }
    window.addEventListener("online", end);
    signal.addEventListener("abort", end);
  });
}

/** One connection, from its beginning to its end; the id of its last event. */
async function connect(
  { address, onEvent, onState }: Follower,
  lastId: string | null,
  signal: AbortSignal,
  onId: (id: string) => void,
): Promise<void> {
  const dead = new AbortController();
  let timer = window.setTimeout(() => dead.abort(), SILENCE_MS);
  try {
    const headers = { accept: "text/event-stream", ...(lastId ? { "last-event-id": lastId } : {}) };
    const answer = await request(address, AbortSignal.any([signal, dead.signal]), headers);
    const reader = (answer.body ?? new ReadableStream()).getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    onState({ kind: "open" });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      window.clearTimeout(timer);
      timer = window.setTimeout(() => dead.abort(), SILENCE_MS);
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        // Only what was dealt with is not asked for again.
        await onEvent(event);
        if (event.id !== null) onId(event.id);
      }
    }
  } finally {
    window.clearTimeout(timer);
    dead.abort();
  }
}

export async function follow(follower: Follower, signal: AbortSignal): Promise<void> {
  let lastId: string | null = follower.after ?? null;
  let waitMs = FIRST_WAIT_MS;
  while (!signal.aborted) {
    let error: unknown = null;
    const started = Date.now();
    try {
      await connect(follower, lastId, signal, (id) => {
        lastId = id;
      });
    } catch (failure) {
      error = failure;
    }
    if (signal.aborted) return;
    // A connection that lasted was no failed attempt.
    if (Date.now() - started > LONGEST_WAIT_MS) waitMs = FIRST_WAIT_MS;
    follower.onState({ kind: "waiting", error });
    // What the server refuses it will refuse again, unless it says that it is busy.
    const refused = error instanceof ApiError && error.status < 500;
    await pause(refused ? LONGEST_WAIT_MS : waitMs * (0.75 + Math.random() / 2), signal);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    if (!signal.aborted) follower.onState({ kind: "connecting" });
  }
}
