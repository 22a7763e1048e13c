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

/** Asks one path of the API. Every request can be cancelled, so the signal is not optional. */
async function ask<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<Response> {
  const search = queryString(query as Record<string, QueryValue>);
  const response = await fetch(search ? `${path}?${search}` : path, {
    signal,
    priority,
    headers: { accept: "application/json" },
  });
  if (!response.ok) throw new ApiError(response.status, await problemOf(response));
  return response;
}

/** Reads one path of the API. */
export async function get<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
): Promise<AnswerOf<P>> {
  const response = await ask(path, query, signal, "auto");
  return (await response.json()) as AnswerOf<P>;
}

/** The answer as it came, for a worker to read. */
export async function getBytes<P extends GetPath>(
  path: P,
  query: QueryOf<P>,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<ArrayBuffer> {
  return (await ask(path, query, signal, priority)).arrayBuffer();
}
