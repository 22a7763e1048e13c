import { ApiError } from "./errors";
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

/** Where a path of the API is asked a question. */
export function addressOf<P extends GetPath>(path: P, query: QueryOf<P>): string {
  const search = queryString(query as Record<string, QueryValue>);
  return search ? `${path}?${search}` : path;
}

/** Any answer of the server that is not an error. Every request can be cancelled, so the signal is not optional. */
export async function request(
  address: string,
  signal: AbortSignal,
  priority: RequestPriority = "auto",
): Promise<Response> {
  const headers = { accept: "application/json" };
  const response = await fetch(address, { signal, priority, headers });
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

/** Reads one path of the API. */
export async function get<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
): Promise<AnswerOf<P>> {
  const response = await request(addressOf(path, query), signal);
  return (await response.json()) as AnswerOf<P>;
}
