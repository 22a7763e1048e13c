/** The page's end of the worker that asks for series and reads the answers. */
import { ApiError } from "../api/errors";
import { authorization, keyRefused } from "../api/key";
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
  const headers = { accept: "application/json", ...authorization() };
  const order: Order = { id: orders, address, headers, priority, asked };
  return new Promise((resolve, reject) => {
    waiting.set(order.id, { resolve, reject });
    signal.addEventListener(
      "abort",
      () => {
        if (!waiting.delete(order.id)) return;
        begun().postMessage(order.id);
        reject(signal.reason);
      },
      { once: true },
    );
    begun().postMessage(order);
  });
}
