import { type ReactNode, useId } from "react";
import type { Answer } from "../state/useAnswer";
import { ErrorNotice } from "./ErrorNotice";

export interface CardProps {
  title: string;
  note?: ReactNode;
  wide?: boolean;
  children: ReactNode;
}

export function Card({ title, note, wide = false, children }: CardProps) {
  const id = useId();
  return (
    <section className="card" data-wide={wide} aria-labelledby={id}>
      <div className="card-head">
        <h2 id={id}>{title}</h2>
        {note && <div className="faint card-note">{note}</div>}
      </div>
      {children}
    </section>
  );
}

/** What an answer holds, or why it holds nothing: being loaded, failed, or empty. */
export function Answered<A>(props: {
  of: Answer<A>;
  empty: (answer: A) => string | null;
  children: (answer: A) => ReactNode;
}) {
  const { answer, loading, error, retry } = props.of;
  const nothing = answer === null ? null : props.empty(answer);
  return (
    <div className="answered" aria-busy={loading}>
      {error !== null && <ErrorNotice error={error} onRetry={retry} />}
      {answer === null && error === null && <Skeleton />}
      {nothing !== null && <p className="faint empty">{nothing}</p>}
      {answer !== null && nothing === null && props.children(answer)}
    </div>
  );
}

export function Skeleton({ rows = 3 }: { rows?: number }) {
  return (
    <div className="skeleton" role="status">
      <span className="visually-hidden">Loading…</span>
      {Array.from({ length: rows }, (_, row) => row).map((row) => (
        <span key={row} className="skeleton-row" />
      ))}
    </div>
  );
}
