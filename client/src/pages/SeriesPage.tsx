import { useState } from "react";
import { PeoplePicker } from "../components/PeoplePicker";
import { SUMMARY } from "../state/url";
import { useColours } from "../state/useColours";
import { useDays } from "../state/useDays";
import { useMedia } from "../state/useMedia";
import { usePage } from "../state/usePage";
import { useDirectory } from "../state/usePeople";
import { goTo, useView } from "../state/useView";
import { MetricPanel } from "./MetricPanel";

function toggled(people: readonly string[], id: string): string[] {
  return people.includes(id) ? people.filter((one) => one !== id) : [...people, id];
}

/** Series of chosen people over a chosen range. */
export function SeriesPage() {
  const view = useView();
  const [query, setQuery] = useState("");
  const [width, setWidth] = useState(0);
  const directory = useDirectory(query.trim());
  const page = usePage(view, directory, width);
  const wide = useMedia("(min-width: 56rem)");
  const { people, nameOf, zone } = page;
  const { theme, colourOf } = useColours(people);
  const days = useDays(view.metric === SUMMARY ? page : null, view.zones);
  const onToggle = (id: string) => goTo({ people: toggled(people, id) });

  const picker = (
    <PeoplePicker
      directory={directory}
      query={query}
      onQuery={setQuery}
      chosen={people}
      colourOf={colourOf}
      zone={zone}
      onToggle={onToggle}
    />
  );
  return (
    <div className="layout">
      <aside className="side" aria-label="People">
        {wide ? (
          <>
            <h2 className="side-title">People</h2>
            {picker}
          </>
        ) : (
          <details className="fold" open={view.people?.length === 0}>
            <summary>
              <span className="side-title">People</span>
              <span className="faint fold-note">
                {people.map(nameOf).join(", ") || "nobody chosen"}
              </span>
            </summary>
            {picker}
          </details>
        )}
      </aside>
      <main className="main">
        <h1 className="visually-hidden">Heart rate</h1>
        <MetricPanel
          page={page}
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
