/** Which page the address names, and how to get to another without loading anything anew. */
import { type MouseEvent, useSyncExternalStore } from "react";

const BASE = "/app/";

/** The pages in the order of the navigation; the server answers each of these paths with the page. */
export const PAGES = [
  { id: "compare", path: "", label: "Compare", title: "Compare people" },
  { id: "person", path: "person", label: "Person", title: "One person" },
  { id: "cohort", path: "cohort", label: "Cohort", title: "Cohort" },
  { id: "live", path: "live", label: "Live", title: "Live" },
  { id: "system", path: "system", label: "System", title: "System" },
] as const;

export type PageId = (typeof PAGES)[number]["id"];

export function pageOf(pathname: string): PageId | null {
  const path = pathname.startsWith(BASE) ? pathname.slice(BASE.length).replace(/\/$/, "") : "";
  return PAGES.find((page) => page.path === path)?.id ?? null;
}

/** The address of a page; `search` begins with `?` or is empty. */
export function addressOf(page: PageId, search = ""): string {
  return `${BASE}${PAGES.find(({ id }) => id === page)?.path ?? ""}${search}`;
}

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

export function changedSearch(search: string, changes: Record<string, readonly string[]>): string {
  const params = new URLSearchParams(search);
  for (const [name, values] of Object.entries(changes)) {
    params.delete(name);
    for (const value of values) params.append(name, value);
  }
  const text = params
    .toString()
    .replaceAll("%3A", ":")
    .replaceAll("%2F", "/")
    .replaceAll("%40", "@");
  return text && `?${text}`;
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
