import { useId } from "react";
import type { User } from "../api/types";
import { dateLabel } from "../charts/labels";
import { pluralLabel } from "../figures/words";
import { useMostPeople } from "../state/useAccess";
import type { Directory } from "../state/usePeople";
import { ErrorNotice } from "./ErrorNotice";

export interface PeoplePickerProps {
  directory: Directory;
  query: string;
  onQuery: (query: string) => void;
  chosen: readonly string[];
  colourOf: (userId: string) => string;
  zone: string;
  onToggle: (userId: string) => void;
}

function describe(user: User, zone: string): string {
  const { first_reading: first, last_reading: last } = user;
  if (!first || !last) return "no readings yet";
  const [start, end] = [first, last].map((at) => dateLabel(Date.parse(at), zone));
  return start === end ? `${start}` : `${start} \u2013 ${end}`;
}

function Person(props: {
  user: User;
  chosen: boolean;
  disabled: boolean;
  colour: string;
  zone: string;
  onToggle: () => void;
}) {
  const { user, chosen, disabled, colour, zone, onToggle } = props;
  return (
    <li>
      <label className="person" data-chosen={chosen}>
        <input
          type="checkbox"
          checked={chosen}
          disabled={disabled}
          onChange={onToggle}
          style={chosen ? { accentColor: colour } : undefined}
        />
        <span className="person-text">
          <span className="person-name">{user.name ?? user.user_id}</span>
          <span className="faint">{describe(user, zone)}</span>
        </span>
      </label>
    </li>
  );
}

/** Whether the store has nobody at all. */
export function isEmpty(directory: Directory, query: string): boolean {
  return directory.answered !== null && directory.users.length === 0 && !query;
}

function listNote(directory: Directory, query: string): string | null {
  if (directory.answered === null) return directory.error ? null : "Loading\u2026";
  if (directory.users.length > 0) return null;
  if (query) return `Nobody matches \u201c${query}\u201d.`;
  return "There is nobody here yet.";
}

export function PeoplePicker(props: PeoplePickerProps) {
  const { directory, query, onQuery, chosen, colourOf, zone, onToggle } = props;
  const searchId = useId();
  const most = useMostPeople();
  const full = chosen.length >= most;
  const note = listNote(directory, query);
  return (
    <div className="people">
      <label className="field-label" htmlFor={searchId}>
        Search people
      </label>
      <input
        id={searchId}
        className="field"
        type="search"
        autoComplete="off"
        placeholder="Name or id"
        value={query}
        onChange={(event) => onQuery(event.target.value)}
      />
      {directory.error !== null && (
        <ErrorNotice error={directory.error} onRetry={directory.retry} />
      )}
      {note && <p className="faint people-note">{note}</p>}
      <ul className="people-list">
        {directory.users.map((user) => (
          <Person
            key={user.user_id}
            user={user}
            chosen={chosen.includes(user.user_id)}
            disabled={full && !chosen.includes(user.user_id)}
            colour={colourOf(user.user_id)}
            zone={zone}
            onToggle={() => onToggle(user.user_id)}
          />
        ))}
      </ul>
      {directory.hasMore && (
        <button type="button" className="button button-wide" onClick={directory.loadMore}>
          Show more
        </button>
      )}
      {full && (
        <p className="faint people-note">
          A chart shows up to {pluralLabel(most, "person", "people")}.
        </p>
      )}
    </div>
  );
}
