/** Connecting a person to a wearable cloud, and what clouds are called. */
import { change } from "../api/change";
import type { ConsentPage } from "../api/types";

const NAMES: Record<string, string> = {
  fitbit: "Fitbit",
  google: "Google Health",
  oura: "Oura",
  synthetic: "Made-up devices",
};

export function sourceName(source: string): string {
  return NAMES[source] ?? source;
}

/** Leads the browser to the page that says who is about to be connected, and from there to the cloud. */
export async function connect(userId: string, source: string, signal: AbortSignal): Promise<void> {
  const page = await change<ConsentPage>(
    "POST",
    "/v1/sources/{source}/authorize",
    signal,
    { source },
    { user_id: userId },
  );
  window.location.assign(page.url);
}

export async function disconnect(
  userId: string,
  source: string,
  signal: AbortSignal,
): Promise<void> {
  const inPath = { user_id: userId, source };
  await change("DELETE", "/v1/users/{user_id}/sources/{source}", signal, inPath);
}

/** Whether a service is one on this machine, as simulated clouds are. */
export function isOnThisMachine(server: string): boolean {
  return /^http:\/\/(localhost|127\.|\[::1\])/.test(server);
}
