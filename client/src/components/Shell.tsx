import { type ReactNode, useSyncExternalStore } from "react";
import { forgetKey, keyState, onKeyChange } from "../api/key";
import { onFollow } from "../state/navigation";
import { addressOf, PAGES, type PageId } from "../state/route";
import { formatView, INTRADAY, type View } from "../state/url";
import { lacks, useAccess } from "../state/useAccess";
import { useDemo } from "../state/useDemo";
import { useOnline } from "../state/useOnline";
import { useView } from "../state/useView";
import { Icon } from "./Icon";

/** What of a view the next page can use, so that going there does not lose who and when. */
function searchFor(page: PageId, view: View): string {
  const people = page === "person" ? (view.people?.slice(0, 1) ?? null) : view.people;
  const chosen = people && people.length > 0 ? people : null;
  const kept = { ...view, people: chosen, metric: INTRADAY, zones: null } as const;
  // Pages that show neither carry range and zone along, for the way back.
  if (page === "cohort") return formatView({ ...kept, others: [], people: null });
  if (page === "live") return formatView({ ...kept, others: [] });
  return formatView(kept);
}

function Navigation({ page }: { page: PageId | null }) {
  const view = useView();
  const access = useAccess();
  const offered = PAGES.filter(({ needs }) => !lacks(access, needs));
  return (
    <nav className="nav" aria-label="Pages">
      {offered.map(({ id, label }) => (
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

/** Word of a key that is held, and the way to have it forgotten. */
function KeyHeld() {
  const access = useAccess();
  const { held } = useSyncExternalStore(onKeyChange, keyState);
  if (!held || access?.access !== "on") return null;
  return (
    <button
      type="button"
      className="button button-small key-held"
      title={`The key “${access.name}”, which this device then no longer has`}
      onClick={forgetKey}
    >
      Forget the key
    </button>
  );
}

/** While a demo makes up its people, what is missing is not there yet. */
function DemoNote() {
  const demo = useDemo();
  if (demo !== "filling") return null;
  return (
    <p className="strip">
      This is the demo: its two made-up people are being filled in, up to now. More of them appears
      within a minute or two.
    </p>
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
        <KeyHeld />
      </header>
      <div role="status">
        {!online && (
          <p className="strip">
            This device is offline. What is shown was loaded before; it goes on by itself once the
            network is back.
          </p>
        )}
        <DemoNote />
      </div>
      {children}
    </>
  );
}
