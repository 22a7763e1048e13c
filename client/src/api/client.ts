import { ApiError } from "./errors";
import { authorization, keyRefused } from "./key";
import { requestWith } from "./request";
import type { AnswerOf, GetPath, QueryOf } from "./types";

type QueryValue = string | number | boolean | null | undefined | readonly (string | number)[];

export function queryString(query: Record<string, QueryValue>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one));
  }
  return params.toString();
}

/** `requestWith` the page's key, if there is one. */
export async function request(
  address: string,
  signal: AbortSignal,
  headers: Record<string, string>,
): Promise<Response> {
  try {
    return await requestWith(address, signal, { ...headers, ...authorization() });
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) keyRefused();
    throw error;
  }
}

/** `/v1/users/{user_id}` with its braces filled in. */
export function filledPath(path: string, inPath: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(inPath[name] ?? ""));
}

/** A path of the API with its query. */
export function addressFor(
  path: string,
  query: object,
  inPath: Record<string, string> = {},
): string {
  const search = queryString(query as Record<string, QueryValue>);
  const filled = filledPath(path, inPath);
  return search ? `${filled}?${search}` : filled;
}

/** Where a path of the API is asked a question. */
export function addressOf<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  inPath: Record<string, string> = {},
): string {
  return addressFor(path, query, inPath);
}

/** Reads one path of the API; `inPath` says what stands for `{…}` in it. */
export async function get<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
  inPath: Record<string, string> = {},
): Promise<AnswerOf<P>> {
  const address = addressOf(path, query, inPath);
  const response = await request(address, signal, { accept: "application/json" });
  return (await response.json()) as AnswerOf<P>;
}
