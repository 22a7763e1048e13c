/** Paints scenes beside the page: where there is no graphics card, painting takes longer than a frame. */

import { freshContext, paint } from "./paint";
import type { ChartTheme } from "./palette";
import type { Scene, Size } from "./scene";

export interface Surface {
  id: number;
  canvas: OffscreenCanvas;
}

export interface Painting {
  id: number;
  scene: Scene;
  theme: ChartTheme;
  size: Size;
  /** Pixels of the screen for one of CSS. */
  ratio: number;
}

export type PaintOrder = Surface | Painting | { id: number; gone: true };

const canvases = new Map<number, OffscreenCanvas>();

self.onmessage = ({ data }: MessageEvent<PaintOrder>) => {
  if ("canvas" in data) canvases.set(data.id, data.canvas);
  else if ("gone" in data) canvases.delete(data.id);
  else {
    const canvas = canvases.get(data.id);
    const ctx = canvas ? freshContext(canvas, data.size, data.ratio) : null;
    if (ctx) paint(ctx, data.scene, data.theme);
    self.postMessage(data.id);
  }
};
