/** Asking the server to change something. */
import { filledPath } from "./client";
import { ApiError } from "./errors";
import { authorization, keyRefused } from "./key";
import { requestWith } from "./request";
import type { ChangeMethod, ChangePath } from "./types";

/** Sends a body as JSON, or none; gives what the server answers. `inPath` says what stands for `{…}` in the path. */
export async function change<A>(
  method: ChangeMethod,
  path: ChangePath,
  signal: AbortSignal,
  inPath: Record<string, string> = {},
  body: object | null = null,
): Promise<A> {
  const plain = { accept: "application/json", ...authorization() };
  const headers = body === null ? plain : { ...plain, "content-type": "application/json" };
  const sent = body === null ? { method } : { method, body: JSON.stringify(body) };
  try {
    const response = await requestWith(filledPath(path, inPath), signal, headers, "auto", sent);
    return (await response.json()) as A;
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) keyRefused();
    throw error;
  }
}
