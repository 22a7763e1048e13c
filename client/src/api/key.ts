/**
 * The key the page asks with, where the server wants one. It lives as long as the tab, unless the reader wants this
 * device to keep it: then until it is forgotten here or no longer opens anything. Other pages never get to it.
 */
const PLACE = "pulsebase.key";

const listeners = new Set<() => void>();

export interface KeyState {
  /** Nothing is answered without a key that is there to be typed in. */
  wanted: boolean;
  /** The server did not take the key there was. */
  refused: boolean;
  /** Whether there is a key. */
  held: boolean;
}

let state: KeyState = { wanted: false, refused: false, held: heldKey() !== null };

function heldKey(): string | null {
  if (typeof sessionStorage === "undefined") return null;
  return sessionStorage.getItem(PLACE) ?? localStorage.getItem(PLACE);
}

function become(next: KeyState): void {
  state = next;
  for (const listener of listeners) listener();
}

function remove(): void {
  sessionStorage.removeItem(PLACE);
  localStorage.removeItem(PLACE);
}

export function authorizationBy(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

export function authorization(): Record<string, string> {
  const key = heldKey();
  return key === null ? {} : authorizationBy(key);
}

/** The server asked for a key, or did not take the one there is. */
export function keyRefused(): void {
  // Several questions are under way at once: the first that is refused says so for all.
  if (state.wanted) return;
  const refused = heldKey() !== null;
  remove();
  become({ wanted: true, refused, held: false });
}

/** A key that opens something; `remember` has this device keep it. */
export function takeKey(key: string, remember: boolean): void {
  remove();
  (remember ? localStorage : sessionStorage).setItem(PLACE, key);
  become({ wanted: false, refused: false, held: true });
}

/** Removes the key from the tab and from this device; another one is asked for. */
export function forgetKey(): void {
  remove();
  become({ wanted: true, refused: false, held: false });
}

export function keyState(): KeyState {
  return state;
}

export function onKeyChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
