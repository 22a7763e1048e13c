import { lazy, Suspense, useState } from "react";
import { dateLabel } from "../charts/labels";
import { isEmpty, PeoplePicker } from "../components/PeoplePicker";
import { SUMMARY } from "../state/url";
import { useSettledMostPeople } from "../state/useAccess";
import { useColours } from "../state/useColours";
import { useDays } from "../state/useDays";
import { useMedia } from "../state/useMedia";
import { type Page, usePage } from "../state/usePage";
import { useDirectory } from "../state/usePeople";
import { goTo, useView } from "../state/useView";
import { browserZone } from "../time/zone";
import { MetricPanel } from "./MetricPanel";

const EmptyStore = lazy(() =>
  import("./begin/EmptyStore").then((m) => ({ default: m.EmptyStore })),
);

const DAY_MS = 86_400_000;

/** Old readings are opened where they are, and that is said. */
function AgeNote({ page }: { page: Page }) {
  const { extent, choice, now, zone } = page;
  const all = choice?.kind === "preset" && choice.preset === "all";
  if (!all || extent === null || extent.end >= now - DAY_MS) return null;
  return <p className="faint">The newest reading is of {dateLabel(extent.end, zone)}.</p>;
}

function toggled(people: readonly string[], id: string): string[] {
  return people.includes(id) ? people.filter((one) => one !== id) : [...people, id];
}

/** Series of chosen people over a chosen range. */
export function SeriesPage() {
  const view = useView();
  const [query, setQuery] = useState("");
  const [width, setWidth] = useState(0);
  const directory = useDirectory(query.trim());
  const page = usePage(view, directory, width, useSettledMostPeople());
  const wide = useMedia("(min-width: 56rem)");
  const { people, nameOf, zone } = page;
  const { theme, colourOf } = useColours(people);
  const days = useDays(view.metric === SUMMARY ? page : null, view.zones);
  const onToggle = (id: string) => goTo({ people: toggled(people, id) });
  if (people.length === 0 && isEmpty(directory, query)) {
    const show = () => {
      goTo({ people: null, range: null }, "replace");
      directory.retry();
    };
    return (
      <Suspense fallback={<p className="blank-page faint">Loading…</p>}>
        <EmptyStore onShow={show} />
      </Suspense>
    );
  }

  const picker = (
    <PeoplePicker
      directory={directory}
      query={query}
      onQuery={setQuery}
      chosen={people}
      colourOf={colourOf}
      zone={page.clocks ? browserZone() : zone}
      onToggle={onToggle}
    />
  );
  return (
    <div className="layout">
      <aside className="side" aria-label="People">
        {wide ? (
          <>
            <h1 className="side-title">Compare people</h1>
            <AgeNote page={page} />
            {picker}
          </>
        ) : (
          <details className="fold" open={view.people?.length === 0}>
            <summary>
              <h1 className="side-title">Compare people</h1>
              <span className="faint fold-note">
                {people.map(nameOf).join(", ") || "nobody chosen"}
              </span>
            </summary>
            {picker}
          </details>
        )}
      </aside>
      <main className="main">
        {!wide && <AgeNote page={page} />}
        <h2 className="visually-hidden">Heart rate</h2>
        <MetricPanel
          page={page}
          single={false}
          view={view}
          days={days}
          theme={theme}
          colourOf={colourOf}
          onRemove={onToggle}
          onWidth={setWidth}
        />
      </main>
    </div>
  );
}
