import { ApiError } from "./errors";
import { authorization, keyRefused } from "./key";
import type { AnswerOf, GetPath, Problem, QueryOf } from "./types";

type QueryValue = string | number | boolean | null | undefined | readonly (string | number)[];

export function queryString(query: Record<string, QueryValue>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) params.append(name, String(one));
  }
  return params.toString();
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null ? (body as Problem) : {};
  } catch {
    return { title: `${response.status} ${response.statusText}`.trim() };
  }
}

/** Any answer of the server that is not an error. Every request can be cancelled, so the signal is not optional. */
export async function request(
  address: string,
  signal: AbortSignal,
  headers: Record<string, string>,
  priority: RequestPriority = "auto",
): Promise<Response> {
  const response = await fetch(address, {
    signal,
    priority,
    headers: { ...headers, ...authorization() },
  });
  if (response.status === 401) keyRefused();
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

/** `/v1/users/{user_id}` with its braces filled in. */
export function filledPath(path: string, inPath: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(inPath[name] ?? ""));
}

function addressOf<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  inPath: Record<string, string> = {},
): string {
  const search = queryString(query as Record<string, QueryValue>);
  const filled = filledPath(path, inPath);
  return search ? `${filled}?${search}` : filled;
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

/** The answer as it came, for a worker to read. */
export async function getBytes<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<ArrayBuffer> {
  const headers = { accept: "application/json" };
  return (await request(addressOf(path, query), signal, headers, priority)).arrayBuffer();
}
