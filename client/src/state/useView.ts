import { useSyncExternalStore } from "react";
import type { RangeChoice } from "../time/range";
import { formatView, parseView, type View } from "./url";

/** The ranges from which the reader zoomed in, outermost first; kept beside the address. */
type Trail = RangeChoice[];

interface Place {
  view: View;
  trail: Trail;
}

// More steps inwards than anybody takes by hand; the oldest go first.
const MAX_TRAIL = 32;
const listeners = new Set<() => void>();
let cached: { search: string; state: unknown; place: Place } | null = null;

/** The former one where it says the same, so that whoever depends on it has nothing to do. */
function kept<T>(former: T | undefined, now: T): T {
  return former !== undefined && JSON.stringify(former) === JSON.stringify(now) ? former : now;
}

function currentPlace(): Place {
  const { search } = window.location;
  const { state } = window.history;
  if (cached?.search !== search || cached.state !== state) {
    const trail = Array.isArray(state?.trail) ? (state.trail as Trail) : [];
    const former = cached?.place.view;
    const view = parseView(search);
    view.people = kept(former?.people, view.people);
    view.others = kept(former?.others, view.others);
    view.chart = kept(former?.chart, view.chart);
    cached = { search, state, place: { view, trail } };
  }
  return cached.place;
}

function announce(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) window.addEventListener("popstate", announce);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener("popstate", announce);
  };
}

function write(view: View, trail: Trail, how: "push" | "replace"): void {
  const address = window.location.pathname + formatView(view);
  const state = { trail: trail.slice(-MAX_TRAIL) };
  if (how === "push") window.history.pushState(state, "", address);
  else window.history.replaceState(state, "", address);
  announce();
}

/** Goes to another view; the way back out of a zoom starts anew when the range changes. */
export function goTo(change: Partial<View>, how: "push" | "replace" = "push"): void {
  const { view, trail } = currentPlace();
  write({ ...view, ...change }, change.range ? [] : trail, how);
}

/** Goes inwards and remembers from where. */
export function zoomTo(range: RangeChoice): void {
  const { view, trail } = currentPlace();
  write({ ...view, range }, view.range ? [...trail, view.range] : trail, "push");
}

/** Goes aside: the way back out stays. */
export function panTo(range: RangeChoice): void {
  const { view, trail } = currentPlace();
  write({ ...view, range }, trail, "push");
}

/** Goes back out to where the last zoom began, or to `otherwise` when there was none. */
export function zoomOut(otherwise: RangeChoice): void {
  const { view, trail } = currentPlace();
  write({ ...view, range: trail.at(-1) ?? otherwise }, trail.slice(0, -1), "push");
}

export function useView(): View {
  return useSyncExternalStore(subscribe, currentPlace).view;
}
