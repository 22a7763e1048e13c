import type { ReactNode } from "react";
import { onFollow } from "../state/navigation";
import { addressOf, PAGES, type PageId } from "../state/route";
import { formatView, INTRADAY, type View } from "../state/url";
import { useOnline } from "../state/useOnline";
import { useView } from "../state/useView";
import { Icon } from "./Icon";

/** What of a view the next page can use, so that going there does not lose who and when. */
function searchFor(page: PageId, view: View): string {
  const people = page === "person" ? (view.people?.slice(0, 1) ?? null) : view.people;
  const chosen = people && people.length > 0 ? people : null;
  const kept = { ...view, people: chosen, metric: INTRADAY, zones: null } as const;
  if (page === "system" || page === "import") return "";
  if (page === "live") return formatView({ ...kept, others: [], range: null });
  if (page === "cohort") return formatView({ ...kept, others: [], people: null });
  return formatView(kept);
}

function Navigation({ page }: { page: PageId | null }) {
  const view = useView();
  return (
    <nav className="nav" aria-label="Pages">
      {PAGES.map(({ id, label }) => (
        <a
          key={id}
          href={addressOf(id, searchFor(id, view))}
          aria-current={id === page ? "page" : undefined}
          onClick={onFollow}
        >
          {label}
        </a>
      ))}
      <a className="nav-elsewhere" href="/docs">
        API
      </a>
    </nav>
  );
}

/** What surrounds every page: the way to the others, and word of a missing network. */
export function Shell({ page, children }: { page: PageId | null; children: ReactNode }) {
  const online = useOnline();
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className="header">
        <a className="wordmark" href={addressOf("compare")} onClick={onFollow}>
          <Icon name="pulse" size={24} />
          Pulsebase
        </a>
        <Navigation page={page} />
      </header>
      <div role="status">
        {!online && (
          <p className="offline">
            This device is offline. What is shown was loaded before; it goes on by itself once the
            network is back.
          </p>
        )}
      </div>
      {children}
    </>
  );
}
