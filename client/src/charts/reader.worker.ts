/** Reads answers beside the page, so that no answer however long holds up a frame. */
import { type Asked, buffersOf, type Reading, readAnswer } from "./readAnswer";

export interface Order {
  id: number;
  body: ArrayBuffer;
  asked: Asked;
}

export type Delivery = { id: number; reading: Reading } | { id: number; problem: string };

function deliver(delivery: Delivery, handOver: Transferable[]): void {
  self.postMessage(delivery, { transfer: handOver });
}

self.onmessage = ({ data: { id, body, asked } }: MessageEvent<Order>) => {
  try {
    const reading = readAnswer(body, asked);
    deliver({ id, reading }, buffersOf(reading));
  } catch (error) {
    deliver({ id, problem: error instanceof Error ? error.message : String(error) }, []);
  }
};
