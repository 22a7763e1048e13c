/** Imports of files, one after the other: sent, read by the server, and looked at until they have ended. */
import { useCallback, useEffect, useRef, useState } from "react";
import { get } from "../api/client";
import { isAbort } from "../api/errors";
import type { ImportDetail } from "../api/types";
import { sendImport } from "../api/upload";
import { type ImportForm, queryFor } from "./importForm";

const LOOK_MS = 400;

export interface FileImport {
  id: number;
  name: string;
  sizeBytes: number;
  /** The person who was named for files that name nobody. */
  user: string;
  stage: "waiting" | "sending" | "reading" | "ended";
  sentBytes: number;
  detail: ImportDetail | null;
  error: unknown;
}

interface Queued {
  id: number;
  file: File;
  form: ImportForm;
}

/** Half of the way is the sending, half the reading. */
export function shareDone({ stage, sizeBytes, sentBytes, detail }: FileImport): number {
  if (stage === "ended") return 1;
  const course = detail?.course;
  const sent = Math.min(1, sizeBytes > 0 ? sentBytes / sizeBytes : 1);
  const read = course && course.size_bytes > 0 ? course.read_bytes / course.size_bytes : 0;
  return (stage === "reading" ? 0.5 : 0) + (stage === "reading" ? read : sent) / 2;
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = window.setTimeout(resolve, LOOK_MS);
    signal.addEventListener("abort", () => {
      window.clearTimeout(timer);
      resolve();
    });
  });
}

async function run(
  { file, form }: Queued,
  signal: AbortSignal,
  tell: (changes: Partial<FileImport>) => void,
): Promise<void> {
  tell({ stage: "sending" });
  const query = queryFor(file.name, form);
  let detail = await sendImport(file, query, signal, (sentBytes) => tell({ sentBytes }));
  tell({ stage: "reading", sentBytes: file.size, detail });
  while (detail.status === "waiting" || detail.status === "running") {
    await pause(signal);
    signal.throwIfAborted();
    detail = await get("/v1/imports/{import_id}", {}, signal, { import_id: String(detail.id) });
    tell({ detail });
  }
  tell({ stage: "ended" });
}

export interface Imports {
  files: readonly FileImport[];
  add: (files: readonly File[], form: ImportForm) => void;
}

/** The imports of this visit, the newest first. Leaving the page cancels what was not sent yet. */
export function useImports(): Imports {
  const [files, setFiles] = useState<readonly FileImport[]>([]);
  const queue = useRef<Queued[]>([]);
  const busy = useRef(false);
  const number = useRef(0);
  const control = useRef(new AbortController());

  useEffect(() => {
    control.current = new AbortController();
    return () => control.current.abort();
  }, []);

  const add = useCallback((added: readonly File[], form: ImportForm) => {
    const change = (id: number, changes: Partial<FileImport>) => {
      setFiles((former) => former.map((one) => (one.id === id ? { ...one, ...changes } : one)));
    };
    const work = async () => {
      if (busy.current) return;
      busy.current = true;
      const { signal } = control.current;
      for (
        let next = queue.current.shift();
        next && !signal.aborted;
        next = queue.current.shift()
      ) {
        const { id } = next;
        try {
          await run(next, signal, (changes) => change(id, changes));
        } catch (error) {
          if (!isAbort(error)) change(id, { stage: "ended", error });
        }
      }
      busy.current = false;
    };
    const queued = added.map((file) => ({ id: ++number.current, file, form }));
    queue.current.push(...queued);
    const begun = queued.map(({ id, file }): FileImport => {
      const { name, size } = file;
      const stage = "waiting";
      return {
        id,
        name,
        sizeBytes: size,
        user: form.user.trim(),
        stage,
        sentBytes: 0,
        detail: null,
        error: null,
      };
    });
    setFiles((former) => [...begun.reverse(), ...former]);
    void work();
  }, []);
  return { files, add };
}
