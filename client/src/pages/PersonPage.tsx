import { useMemo, useState } from "react";
import type { User } from "../api/types";
import { dateLabel } from "../charts/labels";
import { PersonSearch } from "../components/PersonSearch";
import { pluralLabel } from "../figures/words";
import { useColours } from "../state/useColours";
import { useDays } from "../state/useDays";
import { usePage } from "../state/usePage";
import { useDirectory } from "../state/usePeople";
import { goTo, useView } from "../state/useView";
import { MetricPanel } from "./MetricPanel";
import { DaysCard, GapsCard, ZonesCard } from "./person/days";
import { NoteDialog } from "./person/NoteDialog";
import { NotesCard, useNotes } from "./person/notes";
import { DevicesCard, TopHoursCard } from "./person/records";
import { RestCard } from "./person/rest";
import { SourcesCard } from "./person/sources";

function describe(user: User, zone: string): string {
  const parts: string[] = [];
  if (user.gender) parts.push(user.gender);
  if (user.birth_date) parts.push(`born ${user.birth_date.slice(0, 4)}`);
  if (user.time_zone) parts.push(user.time_zone.replaceAll("_", " "));
  parts.push(pluralLabel(user.readings, "reading", "readings"));
  if (user.first_reading && user.last_reading) {
    const [first, last] = [user.first_reading, user.last_reading].map((at) => {
      return dateLabel(Date.parse(at), zone);
    });
    parts.push(first === last ? `${first}` : `${first} – ${last}`);
  }
  return parts.join(" · ");
}

function Nobody() {
  return (
    <div className="blank-page">
      <h2>Nobody is chosen</h2>
      <p className="faint">Search for a person by name or id to see their heart rate.</p>
    </div>
  );
}

/** Everything of one person. */
export function PersonPage() {
  const address = useView();
  const first = useMemo(() => address.people?.slice(0, 1) ?? null, [address.people]);
  const view = useMemo(() => ({ ...address, people: first }), [address, first]);
  const [width, setWidth] = useState(0);
  const directory = useDirectory("", view.people === null);
  const page = usePage(view, directory, width, 1);
  const { people, nameOf, recordOf, zone } = page;
  const { theme, colourOf } = useColours(people);
  const days = useDays(page, view.zones);
  const notes = useNotes(page);
  const id = people[0];
  const user = id === undefined ? null : recordOf(id);
  return (
    <main className="main main-alone">
      <div className="person-head person-top">
        <div>
          <h1>{id === undefined ? "One person" : nameOf(id)}</h1>
          {user && <p className="faint">{describe(user, zone)}</p>}
          {id !== undefined && page.series.picture?.missing.includes(id) && (
            <p className="faint">Nobody of this id is known on this server.</p>
          )}
        </div>
        <PersonSearch
          label="Another person"
          placeholder="Search by name or id"
          without={people}
          onChoose={(chosen) => goTo({ people: [chosen] })}
        />
      </div>
      {id === undefined ? (
        <Nobody />
      ) : (
        <>
          <MetricPanel
            page={page}
            single
            view={view}
            days={days}
            theme={theme}
            colourOf={colourOf}
            onRemove={() => goTo({ people: [] })}
            onWidth={setWidth}
            marks={notes.forChart}
          />
          {user && (
            <div className="cards cards-flowing">
              <NotesCard notes={notes} page={page} />
              <DaysCard days={days} zone={zone} />
              <RestCard page={page} userId={id} />
              <ZonesCard days={days} rule={view.zones} page={page} />
              <TopHoursCard userId={id} span={page.asked} zone={zone} />
              <GapsCard page={page} />
              <SourcesCard userId={id} zone={zone} />
              <DevicesCard userId={id} zone={zone} />
            </div>
          )}
          {notes.drafted && (
            <NoteDialog
              userId={id}
              name={nameOf(id)}
              drafted={notes.drafted}
              zone={zone}
              onClose={notes.onClose}
            />
          )}
        </>
      )}
    </main>
  );
}
