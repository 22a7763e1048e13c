/** The records of everybody whom the key may see, for what is told of many people at once. */
import { useEffect, useMemo, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { User, UserList } from "../api/types";

/** As many as the server gives at once. */
const MOST_AT_ONCE = 1000;

export interface Everybody {
  users: ReadonlyMap<string, User>;
  /** Whether all of them are there. */
  complete: boolean;
  error: unknown;
  retry: () => void;
}

interface Found {
  users: readonly User[];
  complete: boolean;
}

/** Asks page by page; what is there is shown meanwhile. */
export function useEverybody(): Everybody {
  const [found, setFound] = useState<Found>({ users: [], complete: false });
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` asks the same once more.
  useEffect(() => {
    const control = new AbortController();
    const askAll = async () => {
      const users: User[] = [];
      for (let cursor: string | null = null; ; ) {
        const question: { limit: number; cursor?: string } = {
          limit: MOST_AT_ONCE,
          ...(cursor === null ? {} : { cursor }),
        };
        const page: UserList = await get("/v1/users", question, control.signal);
        users.push(...page.data);
        cursor = page.next_cursor ?? null;
        setFound({ users: [...users], complete: cursor === null });
        if (cursor === null) return;
      }
    };
    setError(null);
    askAll().catch((failure: unknown) => {
      if (!isAbort(failure)) setError(failure);
    });
    return () => control.abort();
  }, [attempt]);

  return useMemo(() => {
    const users = new Map(found.users.map((user) => [user.user_id, user]));
    const retry = () => setAttempt((count) => count + 1);
    return { users, complete: found.complete, error, retry };
  }, [found, error]);
}
