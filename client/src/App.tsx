import { lazy, Suspense, useEffect, useRef } from "react";
import { Shell } from "./components/Shell";
import { PAGES, type PageId, usePageId } from "./state/route";

/** Each page comes with the first visit to it. */
const VIEWS = {
  compare: lazy(() => import("./pages/SeriesPage").then((m) => ({ default: m.SeriesPage }))),
  person: lazy(() => import("./pages/PersonPage").then((m) => ({ default: m.PersonPage }))),
  cohort: lazy(() => import("./pages/CohortPage").then((m) => ({ default: m.CohortPage }))),
  live: lazy(() => import("./pages/LivePage").then((m) => ({ default: m.LivePage }))),
  system: lazy(() => import("./pages/SystemPage").then((m) => ({ default: m.SystemPage }))),
} satisfies Record<PageId, unknown>;

function NoSuchPage() {
  return (
    <main className="main main-alone">
      <h1>There is no such page</h1>
      <p>The address may be mistyped, or from another version.</p>
    </main>
  );
}

/** A page that is gone to is announced: its title changes and its content takes the focus. */
function useArrival(page: PageId | null) {
  const content = useRef<HTMLDivElement>(null);
  const former = useRef(page);
  useEffect(() => {
    const title = PAGES.find(({ id }) => id === page)?.title;
    document.title = title ? `${title} · Pulsebase` : "Pulsebase";
    if (former.current !== page) content.current?.focus({ preventScroll: true });
    former.current = page;
  }, [page]);
  return content;
}

export function App() {
  const page = usePageId();
  const content = useArrival(page);
  const View = page && VIEWS[page];
  return (
    <Shell page={page}>
      <div ref={content} id="content" className="content" tabIndex={-1}>
        <Suspense fallback={<p className="blank-page faint">Loading…</p>}>
          {View ? <View /> : <NoSuchPage />}
        </Suspense>
      </div>
    </Shell>
  );
}
