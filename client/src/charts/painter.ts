/** The page's end of the worker that paints. */

import type { Painting, PaintOrder } from "./paint.worker";
import type { ChartTheme } from "./palette";
import type { Scene, Size } from "./scene";

const painters = new Map<number, Painter>();
let worker: Worker | null = null;
let canvases = 0;

function send(order: PaintOrder, handOver: Transferable[] = []): void {
  if (!worker) {
    worker = new Worker(new URL("./paint.worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<number>) => painters.get(data)?.painted();
  }
  worker.postMessage(order, handOver);
}

/** Hands one canvas to the worker and sends it scenes: one at a time, of those that wait the last. */
export class Painter {
  private readonly id: number;
  private busy = false;
  private next: Painting | null = null;

  /** A canvas can be handed over once in its life. `onPainted` is told when nothing waits any more. */
  constructor(
    canvas: HTMLCanvasElement,
    private readonly onPainted: () => void,
  ) {
    canvases += 1;
    this.id = canvases;
    painters.set(this.id, this);
    const surface = canvas.transferControlToOffscreen();
    send({ id: this.id, canvas: surface }, [surface]);
  }

  paint(scene: Scene, theme: ChartTheme, size: Size): void {
    this.next = { id: this.id, scene, theme, size, ratio: window.devicePixelRatio || 1 };
    if (!this.busy) this.sendNext();
  }

  painted(): void {
    this.busy = false;
    if (this.next) this.sendNext();
    else this.onPainted();
  }

  stop(): void {
    painters.delete(this.id);
    send({ id: this.id, gone: true });
  }

  private sendNext(): void {
    if (!this.next) return;
    this.busy = true;
    send(this.next);
    this.next = null;
  }
}

/** Starts the worker, so that it is there for the first picture. */
export function warmPainter(): void {
  send({ id: 0, gone: true });
}
