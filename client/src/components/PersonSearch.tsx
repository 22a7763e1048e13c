import { type KeyboardEvent, useId, useRef, useState } from "react";
import type { User } from "../api/types";
import { useDirectory } from "../state/usePeople";

export interface PersonSearchProps {
  label: string;
  /** Shown while nothing is typed. */
  placeholder: string;
  /** People who are not offered. */
  without: readonly string[];
  disabled?: boolean;
  onChoose: (userId: string) => void;
}

/** The list comes down with the first key or click, so that a page can be opened without asking for people. */
export function PersonSearch(props: PersonSearchProps) {
  const [open, setOpen] = useState(false);
  const [query, setQuery] = useState("");
  const id = useId();
  const field = useRef<HTMLElement>(null);
  const close = () => {
    setOpen(false);
    setQuery("");
  };
  const choose = (userId: string) => {
    close();
    props.onChoose(userId);
  };
  return (
    <search
      className="combo"
      ref={field}
      onBlur={(event) => {
        if (!field.current?.contains(event.relatedTarget)) close();
      }}
    >
      <label className="field-label" htmlFor={id}>
        {props.label}
      </label>
      <Combo {...props} id={id} {...{ open, setOpen, query, setQuery, choose, close }} />
    </search>
  );
}

interface ComboProps extends PersonSearchProps {
  id: string;
  open: boolean;
  setOpen: (open: boolean) => void;
  query: string;
  setQuery: (query: string) => void;
  choose: (userId: string) => void;
  close: () => void;
}

/** A combobox after the ARIA patterns: the focus stays in the field, the arrows go through the list. */
function Combo(props: ComboProps) {
  const { id, open, setOpen, query, setQuery, choose, close, without } = props;
  const directory = useDirectory(query.trim(), open);
  const [at, setAt] = useState(0);
  const users = directory.users.filter((user) => !without.includes(user.user_id));
  const active = Math.min(at, users.length - 1);
  const answered = directory.answered === query.trim();

  const move = (by: number) => {
    const next = Math.max(0, Math.min(active + by, users.length - 1));
    setAt(next);
    if (next >= users.length - 5 && directory.hasMore) directory.loadMore();
    document.getElementById(`${id}-${next}`)?.scrollIntoView({ block: "nearest" });
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown" && !open) setOpen(true);
    else if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter" && open) {
      const user = users[active];
      if (user && answered) choose(user.user_id);
    } else return;
    event.preventDefault();
  };
  return (
    <>
      <input
        id={id}
        className="field"
        type="text"
        role="combobox"
        autoComplete="off"
        spellCheck={false}
        placeholder={props.placeholder}
        disabled={props.disabled ?? false}
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && users.length > 0 ? `${id}-${active}` : undefined}
        value={query}
        onClick={() => setOpen(true)}
        onChange={(event) => {
          setQuery(event.target.value);
          setAt(0);
          setOpen(true);
        }}
        onKeyDown={onKey}
      />
      <div className="combo-list" hidden={!open}>
        <p className="faint combo-note" role="status">
          {open && noteOf(directory.error, answered, users, query)}
        </p>
        <div role="listbox" id={`${id}-list`} aria-label="People">
          {users.map((user, index) => (
            // The arrows move through the list; a pointer takes one at once, before the field loses the focus.
            <div
              key={user.user_id}
              id={`${id}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === active}
              className="combo-option"
              onMouseDown={(event) => {
                event.preventDefault();
                choose(user.user_id);
              }}
            >
              <span>{user.name ?? user.user_id}</span>
              {user.name && <span className="faint"> {user.user_id}</span>}
            </div>
          ))}
        </div>
        {directory.hasMore && (
          <button type="button" className="button button-wide" onClick={directory.loadMore}>
            Show more
          </button>
        )}
      </div>
    </>
  );
}

function noteOf(
  error: unknown,
  answered: boolean,
  users: readonly User[],
  query: string,
): string | null {
  if (error !== null) return "People cannot be looked up just now.";
  if (!answered) return "Searching…";
  if (users.length > 0) return null;
  return query ? `Nobody matches “${query}”.` : "There is nobody else here.";
}
