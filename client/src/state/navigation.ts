/** Getting from page to page without loading anything anew. */
import { type MouseEvent, useSyncExternalStore } from "react";
import { changedSearch, type PageId, pageOf } from "./route";

/** Everybody who reads the address listens to `popstate`, so a step of our own is told the same way. */
export function goToAddress(address: string, how: "push" | "replace" = "push"): void {
  if (how === "push") window.history.pushState(null, "", address);
  else window.history.replaceState(null, "", address);
  window.dispatchEvent(new PopStateEvent("popstate", { state: null }));
}

/** Another search of the same page: each name is given its values anew, an empty list removes it. */
export function goToSearch(
  changes: Record<string, readonly string[]>,
  how: "push" | "replace" = "push",
): void {
  goToAddress(window.location.pathname + changedSearch(window.location.search, changes), how);
}

/** For links: a plain click stays in the page, anything else is the browser's affair. */
export function onFollow(event: MouseEvent<HTMLAnchorElement>): void {
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
  if (!plain || event.altKey || event.defaultPrevented) return;
  event.preventDefault();
  const { pathname, search } = event.currentTarget;
  if (pathname + search !== window.location.pathname + window.location.search) {
    goToAddress(pathname + search);
  }
  window.scrollTo({ top: 0 });
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  return () => window.removeEventListener("popstate", listener);
}

export function usePageId(): PageId | null {
  return useSyncExternalStore(subscribe, () => pageOf(window.location.pathname));
}

/** The address's search, followed as it changes. */
export function useSearch(): string {
  return useSyncExternalStore(subscribe, () => window.location.search);
}
