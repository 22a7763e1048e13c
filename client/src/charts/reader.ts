/** The page's end of the worker that reads answers. */
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
  if ("reading" in delivery) one?.resolve(delivery.reading);
  else one?.reject(new TypeError(delivery.problem));
}

function begun(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./reader.worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<Delivery>) => settle(data);
  worker.onerror = () => {
    // A worker that could not be loaded answers nobody; the next order tries anew.
    for (const id of [...waiting.keys()]) settle({ id, problem: "The page's worker failed." });
    worker = null;
  };
  return worker;
}

/** Starts the worker, so that it is there when the first answer comes. */
export function warmReader(): void {
  begun();
}

/** Reads an answer in the worker. The body is handed over and empty afterwards. */
export function read(body: ArrayBuffer, asked: Asked): Promise<Reading> {
  orders += 1;
  const order: Order = { id: orders, body, asked };
  return new Promise((resolve, reject) => {
    waiting.set(order.id, { resolve, reject });
    begun().postMessage(order, [body]);
  });
}
