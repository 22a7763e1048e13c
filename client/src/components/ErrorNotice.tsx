import { explain } from "../api/errors";

/** An error in plain words, with a way to try again. */
export function ErrorNotice({ error, onRetry }: { error: unknown; onRetry: (() => void) | null }) {
  const { headline, detail, requestId } = explain(error);
  return (
    <div className="notice notice-error" role="alert">
      <div>
        <strong>{headline}</strong>
        {detail && <p>{detail}</p>}
        {requestId && <p className="faint">Request {requestId}</p>}
      </div>
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}
