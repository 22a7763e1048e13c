import { ApiError } from "./errors";
import type { Problem } from "./types";

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null ? (body as Problem) : {};
  } catch {
    return { title: `${response.status} ${response.statusText}`.trim() };
  }
}

/**
 * Any answer of the server that is not an error. Every request can be cancelled, so the signal is not
 * optional. It knows of no key, which workers cannot get at: they are given what to send.
 */
export async function requestWith(
  address: string,
  signal: AbortSignal,
  headers: Record<string, string>,
  priority: RequestPriority = "auto",
  sent: Pick<RequestInit, "method" | "body"> = {},
): Promise<Response> {
  const response = await fetch(address, { signal, priority, headers, ...sent });
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}
