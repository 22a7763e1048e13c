/** Sending a file, with word of how much of it has left: `fetch` does not tell. */
import { addressFor } from "./client";
import { ApiError } from "./errors";
import { authorization, keyRefused } from "./key";
import type { ImportDetail, ImportQuery, Problem } from "./types";

function problemIn(text: string): Problem {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as Problem) : {};
  } catch {
    return {};
  }
}

/** Sends a file to be imported. The answer comes once the server has all of it, before it is read. */
export function sendImport(
  file: File,
  query: ImportQuery,
  signal: AbortSignal,
  onSent: (sentBytes: number) => void,
): Promise<ImportDetail> {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", addressFor("/v1/imports", query));
    sending.setRequestHeader("content-type", "application/octet-stream");
    for (const [name, value] of Object.entries(authorization())) {
      sending.setRequestHeader(name, value);
    }
    sending.upload.onprogress = (event) => onSent(event.loaded);
    sending.onerror = () => reject(new TypeError("the connection broke"));
    sending.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    sending.onload = () => {
      if (sending.status >= 200 && sending.status < 300) {
        resolve(JSON.parse(sending.responseText) as ImportDetail);
        return;
      }
      if (sending.status === 401) keyRefused();
      reject(new ApiError(sending.status, problemIn(sending.responseText)));
    };
    signal.addEventListener("abort", () => sending.abort(), { once: true });
    sending.send(file);
  });
}
