/** The pages' components, each loaded with the first visit to it; the one that most visits begin with is there at once. */
import type { ComponentType } from "react";
import { SeriesPage } from "./pages/SeriesPage";
import type { PageId } from "./state/route";

const LOADERS: Record<PageId, () => Promise<ComponentType>> = {
  compare: async () => SeriesPage,
  person: () => import("./pages/PersonPage").then((m) => m.PersonPage),
  cohort: () => import("./pages/CohortPage").then((m) => m.CohortPage),
  live: () => import("./pages/LivePage").then((m) => m.LivePage),
  import: () => import("./pages/ImportPage").then((m) => m.ImportPage),
  system: () => import("./pages/SystemPage").then((m) => m.SystemPage),
};

const loaded = new Map<PageId, ComponentType>([["compare", SeriesPage]]);

/** A page's component, if it is there. */
export function loadedView(page: PageId): ComponentType | null {
  return loaded.get(page) ?? null;
}

export async function loadView(page: PageId): Promise<ComponentType> {
  const view = await LOADERS[page]();
  loaded.set(page, view);
  return view;
}
