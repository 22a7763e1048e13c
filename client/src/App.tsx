import { useEffect, useRef, useState } from "react";
import { ErrorNotice } from "./components/ErrorNotice";
import { Shell } from "./components/Shell";
import { onFollow, usePageId } from "./state/navigation";
import { addressOf, PAGES, type PageId } from "./state/route";
import { lacks, useAccess } from "./state/useAccess";
import { loadedView, loadView } from "./views";

function NoSuchPage() {
  return (
    <main className="main main-alone">
      <h1>There is no such page</h1>
      <p>The address may be mistyped, or from another version.</p>
      <p>
        <a href={addressOf("compare")} onClick={onFollow}>
          Go to the chart
        </a>
      </p>
    </main>
  );
}

/** What stands in the place of a page that the reader's key has nothing to show on. */
function NotForThisKey({ name }: { name: string | null }) {
  return (
    <main className="main main-alone">
      <h1>Not with this key</h1>
      <p>
        The key “{name}” does not open this page. Whoever runs the server makes keys that do; the
        pages it opens are linked above.
      </p>
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
  const access = useAccess();
  const shut = lacks(access, PAGES.find(({ id }) => id === page)?.needs ?? null);
  return (
    <Shell page={page}>
      <div ref={content} id="content" className="content" tabIndex={-1}>
        {page === null && <NoSuchPage />}
        {page && shut && <NotForThisKey name={access?.name ?? null} />}
        {page && !shut && <Visited key={page} page={page} />}
      </div>
    </Shell>
  );
}
