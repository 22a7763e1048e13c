/** What the reader's key may do, asked once, and again with each other key. */
import { useSyncExternalStore } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import { keyState, onKeyChange } from "../api/key";
import type { Access, Scope } from "../api/types";
import { MAX_PEOPLE } from "./url";

let known: Access | null = null;
/** Whether the question has ended, with an answer or without. */
let settled = false;
let asking: AbortController | null = null;
const listeners = new Set<() => void>();

function tell(access: Access | null): void {
  known = access;
  settled = true;
  for (const listener of listeners) listener();
}

function ask(): void {
  asking?.abort();
  asking = new AbortController();
  get("/v1/access", {}, asking.signal)
    .then(tell)
    // Where it cannot be told, everything is offered, and the server refuses what it refuses.
    .catch((error: unknown) => isAbort(error) || tell(null));
}

function forget(): void {
  asking?.abort();
  tell(null);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (asking === null) {
    onKeyChange(() => {
      if (keyState().wanted) forget();
      else ask();
    });
    ask();
  }
  return () => listeners.delete(listener);
}

/** Null before it is known. */
export function useAccess(): Access | null {
  return useSyncExternalStore(subscribe, () => known);
}

/** How many people a chart may show here: what the page can draw, or less where the server answers for fewer. */
export function useMostPeople(): number {
  return useSettledMostPeople() ?? MAX_PEOPLE;
}

/** The same, but null until the server has been asked. */
export function useSettledMostPeople(): number | null {
  return useSyncExternalStore(subscribe, mostPeople);
}

function mostPeople(): number | null {
  return settled ? Math.min(MAX_PEOPLE, known?.max_people ?? MAX_PEOPLE) : null;
}

/** Whether the key is known not to have this scope. */
export function lacks(access: Access | null, scope: Scope | null): boolean {
  return access !== null && scope !== null && !access.scopes.includes(scope);
}
