import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import { afterCharts } from "../api/order";
import type { User, UserList } from "../api/types";

const PAGE_SIZE = 50;
/** A search waits this long for the next key, so short that nobody who types sees it. */
const TYPING_PAUSE_MS = 30;

export interface Directory {
  /** The search that `users` answer; null before the first answer. */
  answered: string | null;
  users: User[];
  hasMore: boolean;
  error: unknown;
  loadMore: () => void;
  retry: () => void;
}

interface Listing {
  query: string | null;
  users: User[];
  cursor: string | null;
}

function listUsers(query: string, cursor: string | null, signal: AbortSignal): Promise<UserList> {
  const search = { ...(query ? { query } : {}), ...(cursor ? { cursor } : {}) };
  return get("/v1/users", { ...search, limit: PAGE_SIZE }, signal);
}

/** The people that a search finds, a page at a time; nobody is asked for while it is not `wanted`. */
export function useDirectory(query: string, wanted = true): Directory {
  const [listing, setListing] = useState<Listing>({ query: null, users: [], cursor: null });
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const more = useRef<AbortController | null>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` asks the same once more.
  useEffect(() => {
    if (!wanted) return;
    const control = new AbortController();
    const fetchFirst = () =>
      afterCharts(control.signal)
        .then(() => listUsers(query, null, control.signal))
        .then((found) => {
          setListing({ query, users: found.data, cursor: found.next_cursor ?? null });
          setError(null);
        })
        .catch((failure: unknown) => {
          if (!isAbort(failure)) setError(failure);
        });
    const timer = window.setTimeout(fetchFirst, query ? TYPING_PAUSE_MS : 0);
    return () => {
      window.clearTimeout(timer);
      control.abort();
      more.current?.abort();
    };
  }, [query, attempt, wanted]);

  const { cursor } = listing;
  const loadMore = useCallback(() => {
    if (cursor === null) return;
    more.current?.abort();
    const control = new AbortController();
    more.current = control;
    listUsers(query, cursor, control.signal)
      .then((found) => {
        setListing((former) => ({
          query,
          users: [...former.users, ...found.data],
          cursor: found.next_cursor ?? null,
        }));
      })
      .catch((failure: unknown) => {
        if (!isAbort(failure)) setError(failure);
      });
  }, [query, cursor]);

  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  const { query: answered, users } = listing;
  return { answered, users, hasMore: cursor !== null, error, loadMore, retry };
}

type Records = ReadonlyMap<string, User | null>;

async function findUser(id: string, signal: AbortSignal): Promise<[string, User | null]> {
  try {
    return [id, await get("/v1/users/{user_id}", {}, signal, { user_id: id })];
  } catch {
    return [id, null];
  }
}

/** The records of chosen people, also of those not listed; null for whom the server cannot find. */
export function useRecords(ids: readonly string[], listed: readonly User[]): Records {
  const [kept, setKept] = useState<Records>(new Map());
  const records = useMemo(() => {
    return new Map<string, User | null>([
      ...kept,
      ...listed.map((user): [string, User] => [user.user_id, user]),
    ]);
  }, [kept, listed]);
  const lacking = ids.filter((id) => !records.has(id)).join(" ");

  // What was listed once is kept, so that another search does not forget it.
  useEffect(() => {
    setKept((former) => {
      return new Map([...former, ...listed.map((user): [string, User] => [user.user_id, user])]);
    });
  }, [listed]);

  useEffect(() => {
    if (!lacking) return;
    const control = new AbortController();
    const sought = lacking.split(" ");
    afterCharts(control.signal)
      .then(() => Promise.all(sought.map((id) => findUser(id, control.signal))))
      .then((found) => {
        if (!control.signal.aborted) setKept((former) => new Map([...former, ...found]));
      })
      .catch(() => {}); // nobody wants to know any more
    return () => control.abort();
  }, [lacking]);

  return records;
}
