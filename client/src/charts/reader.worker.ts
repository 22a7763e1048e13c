/** Asks the server and reads its answers beside the page, so that no answer however long holds up a frame. */
import { ApiError, isAbort } from "../api/errors";
import { requestWith } from "../api/request";
import type { Problem } from "../api/types";
import { type Asked, buffersOf, type Reading, readAnswer } from "./readAnswer";

/** What is to be read: at an address, or an answer that is there already. */
export type Order = { id: number; asked: Asked } & (
  | { address: string; headers: Record<string, string>; priority: RequestPriority }
  | { answer: ArrayBuffer }
);

export type Delivery =
  | { id: number; reading: Reading }
  | { id: number; status: number; problem: Problem }
  | { id: number; failure: string };

const asking = new Map<number, AbortController>();

function deliver(delivery: Delivery, handOver: Transferable[] = []): void {
  self.postMessage(delivery, { transfer: handOver });
}

async function answerTo(order: Order, signal: AbortSignal): Promise<ArrayBuffer> {
  if ("answer" in order) return order.answer;
  const { address, headers, priority } = order;
  return (await requestWith(address, signal, headers, priority)).arrayBuffer();
}

async function carryOut(order: Order): Promise<void> {
  const { id, asked } = order;
  const control = new AbortController();
  asking.set(id, control);
  try {
    const reading = readAnswer(await answerTo(order, control.signal), asked);
    if (!control.signal.aborted) deliver({ id, reading }, buffersOf(reading));
  } catch (error) {
    if (isAbort(error)) return;
    if (error instanceof ApiError) deliver({ id, status: error.status, problem: error.problem });
    else deliver({ id, failure: String(error) });
  } finally {
    asking.delete(id);
  }
}

/** An order, or the number of one that nobody waits for any more. */
self.onmessage = ({ data }: MessageEvent<Order | number>) => {
  if (typeof data === "number") asking.get(data)?.abort();
  else void carryOut(data);
};
