import type { Problem } from "./types";

/** An answer that was not 2xx. */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.title ?? `HTTP ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

/** An error as the reader sees it. */
export interface Explained {
  headline: string;
  detail: string | null;
  requestId: string | null;
}

function headlineOf(status: number): string {
  if (status === 401 || status === 403) return "You may not read this.";
  if (status === 404) return "The server does not know this.";
  if (status === 413 || status === 414) return "This asks for more than the server gives at once.";
  if (status === 429 || status === 503) return "The server is busy. Try again in a moment.";
  if (status >= 500) return "The server failed while answering.";
  return "The server did not accept this request.";
}

export function explain(error: unknown): Explained {
  if (!(error instanceof ApiError)) {
    return {
      headline: "Pulsebase does not answer.",
      detail: "The server may have stopped, or the connection to it is broken.",
      requestId: null,
    };
  }
  const { problem, status } = error;
  const fields = (problem.errors ?? []).map((one) => `${one.field}: ${one.reason}`).join("; ");
  const detail = [problem.detail ?? problem.title, fields].filter(Boolean).join(" ");
  return {
    headline: headlineOf(status),
    detail: detail || null,
    requestId: problem.request_id ?? null,
  };
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
