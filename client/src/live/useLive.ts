import { useEffect, useReducer, useRef, useState } from "react";
import { get, queryString } from "../api/client";
import { instantText } from "../time/range";
import { LiveBuffer, type Priorities, type RawColumns } from "./buffer";
import type { StreamEvent } from "./events";
import { follow, type StreamState } from "./follow";

const MINUTE_MS = 60_000;
/** How far ahead of the clock a device may be. */
const AHEAD_MS = 10 * MINUTE_MS;

interface Hello {
  resumed: boolean;
}

/** The metric that the server means where it names none. */
const HEART_RATE = "heart_rate";

interface News {
  series: { user_id: string; metric?: string; columns: RawColumns }[];
  changed: { user_id: string | null; metric?: string | null; start: string; end: string }[];
}

export interface Live {
  state: StreamState;
  /** A metric's last minutes; empty for one that is not followed. */
  bufferOf: (metric: string) => LiveBuffer;
  prioritiesOf: (userId: string) => Priorities;
  /** When something last came, on the reader's clock; null before anything did. */
  heardAt: number | null;
  /** Grows with everything that changes a buffer. */
  version: number;
}

/** What is stored of a metric's last minutes, all devices' of it. */
async function readLast(
  metric: string,
  people: readonly string[],
  sinceMs: number,
  signal: AbortSignal,
) {
  const query = {
    user_ids: [...people],
    metric: [metric],
    start_date: instantText(Math.floor(sinceMs / MINUTE_MS) * MINUTE_MS),
    end_date: instantText(Date.now() + AHEAD_MS),
    interval: "raw" as const,
    include: "all" as const,
  };
  const answer = await get("/v1/multi-user/timeseries", query, signal);
  return answer.series.map((one) => ({
    metric,
    userId: one.user_id,
    columns: one.columns as unknown as RawColumns,
  }));
}

async function readPriorities(userId: string, signal: AbortSignal): Promise<Priorities> {
  const inPath = { user_id: userId };
  const answer = await get("/v1/users/{user_id}/devices", {}, signal, inPath);
  return new Map(answer.data.map((device) => [device.device_id, device.priority]));
}

const EMPTY = new LiveBuffer();

/**
 * The last minutes of some people in some metrics, kept up by the stream; after a break nothing is missing or there
 * twice.
 */
export function useLive(
  people: readonly string[],
  metrics: readonly string[],
  windowMs: number,
): Live {
  const [state, setState] = useState<StreamState>({ kind: "connecting" });
  const [version, grow] = useReducer((count: number) => count + 1, 0);
  const buffers = useRef(new Map<string, LiveBuffer>());
  const whose = useRef("");
  const priorities = useRef(new Map<string, Priorities>());
  const heardAt = useRef<number | null>(null);
  const who = people.join(" ");
  const which = metrics.join(" ");

  useEffect(() => {
    if (!who) return;
    const control = new AbortController();
    const { signal } = control;
    const asked = who.split(" ");
    const followed = which.split(" ");
    // Another window, or one metric more, shows what there is until the rest has come.
    if (whose.current !== who) {
      whose.current = who;
      buffers.current = new Map();
      heardAt.current = null;
    }
    const before = buffers.current;
    buffers.current = new Map(followed.map((one) => [one, before.get(one) ?? new LiveBuffer()]));
    grow();

    /** Events wait meanwhile, so what they bring is put on top of what was read. */
    const readAgain = async (whom: readonly string[], inWhich: readonly string[]) => {
      const since = Date.now() - windowMs;
      const [found, believed] = await Promise.all([
        Promise.all(inWhich.map((metric) => readLast(metric, whom, since, signal))),
        Promise.all(whom.map((id) => readPriorities(id, signal).catch(() => new Map()))),
      ]);
      whom.forEach((id, i) => {
        for (const metric of inWhich) buffers.current.get(metric)?.clear(id);
        priorities.current.set(id, believed[i] ?? new Map());
      });
      for (const { metric, userId, columns } of found.flat()) {
        buffers.current.get(metric)?.add(userId, columns);
      }
    };

    const onNews = async (news: News) => {
      for (const { user_id, metric = HEART_RATE, columns } of news.series) {
        buffers.current.get(metric)?.add(user_id, columns);
      }
      const since = Date.now() - windowMs;
      const stale = news.changed.filter((one) => Date.parse(one.end) > since);
      const everybody = stale.some((one) => one.user_id === null);
      const whom = asked.filter((id) => everybody || stale.some((one) => one.user_id === id));
      const all = stale.some((one) => one.metric === null);
      const inWhich = followed.filter((name) => {
        return all || stale.some(({ metric = HEART_RATE }) => metric === name);
      });
      if (whom.length > 0 && inWhich.length > 0) await readAgain(whom, inWhich);
      heardAt.current = Date.now();
    };

    const onEvent = async (event: StreamEvent) => {
      const data: unknown = JSON.parse(event.data);
      if (event.kind === "hello" && !(data as Hello).resumed) await readAgain(asked, followed);
      if (event.kind === "readings") await onNews(data as News);
      grow();
    };
    const address = `/v1/stream?${queryString({ user_ids: asked, metric: followed })}`;
    void follow({ address, onEvent, onState: setState }, signal);
    return () => control.abort();
  }, [who, which, windowMs]);

  return {
    state,
    bufferOf: (metric) => buffers.current.get(metric) ?? EMPTY,
    prioritiesOf: (id) => priorities.current.get(id) ?? new Map(),
    heardAt: heardAt.current,
    version,
  };
}
