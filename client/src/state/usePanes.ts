import { useEffect, useState, useSyncExternalStore } from "react";
import { PaneLoaders, type PanesLoaded } from "./panes";
import type { Page } from "./usePage";

export interface Panes {
  loaded: PanesLoaded;
  retry: (metric: string) => void;
}

const NOTHING: PanesLoaded = new Map();

/** The pictures of metrics below heart rate, over what the page's chart has in view. */
export function usePanes(page: Page, metrics: readonly string[]): Panes {
  const { subject, asked, latest, series } = page;
  const { viewport } = series;
  const [loaders] = useState(() => new PaneLoaders());
  const loaded = useSyncExternalStore(loaders.subscribe, loaders.loaded);

  useEffect(() => () => loaders.stop(), [loaders]);

  useEffect(() => {
    if (!subject) return;
    loaders.look(subject, metrics, asked, latest);
    return viewport.onMove(() => {
      if (viewport.moving) loaders.look(subject, metrics, viewport.span, latest);
    });
  }, [loaders, viewport, subject, metrics, asked, latest]);

  return { loaded: subject ? loaded : NOTHING, retry: loaders.retry };
}
