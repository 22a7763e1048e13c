/** The page's end of the worker that asks for series and reads the answers. */
import { ApiError } from "../api/errors";
import { authorization, keyRefused } from "../api/key";
import { requestWith } from "../api/request";
import type { Asked, Reading } from "./readAnswer";
import type { Delivery, Order } from "./reader.worker";

interface Waiting {
  resolve: (reading: Reading) => void;
  reject: (error: unknown) => void;
}

const waiting = new Map<number, Waiting>();
let worker: Worker | null = null;
let orders = 0;

function settle(delivery: Delivery): void {
  const one = waiting.get(delivery.id);
  waiting.delete(delivery.id);
  if ("problem" in delivery && delivery.status === 401) keyRefused();
  if ("reading" in delivery) one?.resolve(delivery.reading);
  else if ("problem" in delivery) one?.reject(new ApiError(delivery.status, delivery.problem));
  else one?.reject(new TypeError(delivery.failure));
}

function begun(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./reader.worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Delivery>) => settle(data);
  worker.onerror = () => {
    // A worker that could not be loaded answers nobody; the next order tries anew.
    for (const id of [...waiting.keys()]) settle({ id, failure: "The page's worker failed." });
    worker = null;
  };
  return worker;
}

/** A question that was sent before there was a chart to ask it. */
interface Early {
  address: string;
  answer: Promise<ArrayBuffer>;
  control: AbortController;
}

let early: Early | null = null;

function headersNow(): Record<string, string> {
  return { accept: "application/json", ...authorization() };
}

/** Asks an address for series that will be read first. The worker cannot begin while the page is being drawn. */
export function askEarly(address: string): void {
  const control = new AbortController();
  const answer = requestWith(address, control.signal, headersNow(), "high").then((response) => {
    return response.arrayBuffer();
  });
  answer.catch(() => {}); // whoever reads it is told
  early = { address, answer, control };
}

/** The early question if it is this one; another one was in vain. */
function takeEarly(address: string): Early | null {
  const found = early;
  early = null;
  if (found?.address === address) return found;
  found?.control.abort();
  return null;
}

function failed(id: number, error: unknown): void {
  if (error instanceof ApiError) settle({ id, status: error.status, problem: error.problem });
  else settle({ id, failure: String(error) });
}

/** Starts the worker, so that it is there when the first answer is wanted. */
export function warmReader(): void {
  begun();
}

/** Asks an address for series and reads them in the worker. Cancelled, it throws what `signal` says. */
export function read(
  address: string,
  asked: Asked,
  priority: RequestPriority,
  signal: AbortSignal,
): Promise<Reading> {
  signal.throwIfAborted();
  orders += 1;
  const id = orders;
  const sent = takeEarly(address);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    signal.addEventListener(
      "abort",
      () => {
        if (!waiting.delete(id)) return;
        sent?.control.abort();
        begun().postMessage(id);
        reject(signal.reason);
      },
      { once: true },
    );
    const give = (order: Order, handOver: Transferable[] = []) => {
      begun().postMessage(order, handOver);
    };
    if (sent === null) give({ id, address, headers: headersNow(), priority, asked });
    else {
      sent.answer.then(
        (answer) => waiting.has(id) && give({ id, answer, asked }, [answer]),
        (error: unknown) => failed(id, error),
      );
    }
  });
}
