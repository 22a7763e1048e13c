import { type RefObject, useEffect, useRef } from "react";
import type { Size } from "./scene";
import type { Viewport } from "./viewport";

/** Calls `draw` in the next frame after a render, a move of the viewport or a change of size: once a frame. */
export function useCanvas(
  host: RefObject<HTMLDivElement | null>,
  viewport: Viewport,
  draw: (size: Size) => void,
): void {
  const latest = useRef(draw);
  latest.current = draw;
  const frame = useRef(0);
  const request = useRef(() => {
    if (frame.current) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      const { clientWidth: width = 0, clientHeight: height = 0 } = host.current ?? {};
      if (width > 0 && height > 0) latest.current({ width, height });
    });
  });

  // After every render: whatever was rendered anew may look different.
  useEffect(() => request.current());

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => request.current());
    observer.observe(element);
    const unsubscribe = viewport.onMove(() => request.current());
    return () => {
      observer.disconnect();
      unsubscribe();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [host, viewport]);
}
