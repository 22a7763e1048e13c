/**
 * The key the page asks with, where the server wants one. It lives as long as the tab: whoever opens
 * the browser the next day has to have it again, and other pages never get to it.
 */
const PLACE = "pulsebase.key";

const listeners = new Set<() => void>();
let wanted = false;

function tell(): void {
  for (const listener of listeners) listener();
}

export function authorization(): Record<string, string> {
  const key = sessionStorage.getItem(PLACE);
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** The server asked for a key, or did not take the one there is. */
export function keyRefused(): void {
  sessionStorage.removeItem(PLACE);
  wanted = true;
  tell();
}

export function takeKey(key: string): void {
  sessionStorage.setItem(PLACE, key);
  wanted = false;
  tell();
}

export function isKeyWanted(): boolean {
  return wanted;
}

export function onKeyChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
