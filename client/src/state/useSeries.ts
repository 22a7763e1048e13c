/** The pictures of a chart and what it has in view, for React. */
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import { warmPainter } from "../charts/painter";
import { warmReader } from "../charts/reader";
import { Viewport } from "../charts/viewport";
import { overlaps, type Span } from "../time/range";
import { type Loaded, Loader } from "./loader";
import type { Subject } from "./pictures";

export interface SeriesState extends Loaded {
  viewport: Viewport;
  retry: () => void;
}

/**
 * Shows `asked`, and what gestures make of it meanwhile. A stretch of which nothing is there yet
 * waits behind the former picture, so that the chart is never blank.
 */
export function useSeries(subject: Subject | null, asked: Span, latest: number): SeriesState {
  const [loader] = useState(() => new Loader());
  const [viewport] = useState(() => new Viewport(asked));
  const loaded = useSyncExternalStore(loader.subscribe, loader.loaded);
  const { picture } = loaded;

  useEffect(() => {
    warmReader();
    warmPainter();
    return () => loader.stop();
  }, [loader]);

  useEffect(() => {
    if (subject) loader.look(subject, asked, latest);
    else loader.clear();
  }, [loader, subject, asked, latest]);

  useEffect(() => {
    if (!subject) return;
    return viewport.onMove(() => {
      if (viewport.moving) loader.look(subject, viewport.span, latest);
    });
  }, [loader, viewport, subject, latest]);

  useEffect(() => {
    // What comes in the middle of a gesture does not take the view out of the reader's hands.
    if (viewport.moving) return;
    if (!picture || overlaps(asked, picture.window.span)) viewport.rest(asked);
  }, [viewport, asked, picture]);

  return useMemo(() => {
    return { ...loaded, viewport, retry: loader.retry };
  }, [loaded, viewport, loader]);
}
