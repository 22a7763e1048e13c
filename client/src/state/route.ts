/** Which page an address names, and the addresses of pages. */

const BASE = "/app/";

/**
 * The pages in the order of the navigation; the server answers each of these paths with the page. `needs` is the scope
 * without which a page would have nothing to show.
 */
export const PAGES = [
  { id: "compare", path: "", label: "Compare", title: "Compare people", needs: "read" },
  { id: "person", path: "person", label: "Person", title: "One person", needs: "read" },
  { id: "cohort", path: "cohort", label: "Cohort", title: "Cohort", needs: "read" },
  { id: "live", path: "live", label: "Live", title: "Live", needs: "read" },
  { id: "import", path: "import", label: "Add data", title: "Add data", needs: "ingest" },
  { id: "system", path: "system", label: "System", title: "System", needs: null },
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
