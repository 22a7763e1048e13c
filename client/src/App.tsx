import { useEffect, useRef, useState } from "react";
import { ErrorNotice } from "./components/ErrorNotice";
import { Shell } from "./components/Shell";
import { usePageId } from "./state/navigation";
import { PAGES, type PageId } from "./state/route";
import { loadedView, loadView } from "./views";

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

/** The page that is gone to, or what stands in its place. */
function Visited({ page }: { page: PageId }) {
  const [View, setView] = useState(() => loadedView(page));
  const [failure, setFailure] = useState<unknown>(null);
  useEffect(() => {
    if (View) return;
    let left = false;
    loadView(page).then(
      (found) => left || setView(() => found),
      (reason: unknown) => left || setFailure(reason),
    );
    return () => {
      left = true;
    };
  }, [page, View]);
  if (View) return <View />;
  if (failure === null) return <p className="blank-page faint">Loading…</p>;
  // The server may have another version by now: its pages are found by loading all of it anew.
  return (
    <main className="main main-alone">
      <ErrorNotice error={failure} onRetry={() => window.location.reload()} />
    </main>
  );
}

export function App() {
  const page = usePageId();
  const content = useArrival(page);
  return (
    <Shell page={page}>
      <div ref={content} id="content" className="content" tabIndex={-1}>
        {page ? <Visited key={page} page={page} /> : <NoSuchPage />}
      </div>
    </Shell>
  );
}
