/** What is drawn on the page's canvases, so that it can be drawn once more elsewhere. */
import type { Ctx } from "./paint";
import type { Size } from "./scene";

export interface Drawing {
  size: Size;
  draw: (ctx: Ctx) => void;
}

const drawings = new WeakMap<Element, Drawing>();

/** Tells what the chart in an element shows by now. */
export function keepDrawing(element: Element, drawing: Drawing): void {
  drawings.set(element, drawing);
}

export function drawingOf(element: Element): Drawing | null {
  return drawings.get(element) ?? null;
}
