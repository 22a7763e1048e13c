/** Sees to it that there is a picture for what is looked at, and one for what is looked at next. */
import { isAbort } from "../api/errors";
import { chartAsked } from "../api/order";
import type { Span } from "../time/range";
import { fetchPicture } from "./fetchPicture";
import { fits, isFresh, type Picture, Pictures, type Subject, subjectKey } from "./pictures";
import { covers, nearEdge, neighbours, type SeriesWindow, windowFor } from "./windows";

/** The reader has to rest this long before neighbours are fetched. */
const REST_MS = 120;
/** Pictures with more points are not fetched on suspicion. */
const MOST_PREFETCHED = 60_000;

export interface Loaded {
  /** The latest answer; it stays until the next one is there. */
  picture: Picture | null;
  loading: boolean;
  error: unknown;
}

interface Request {
  subject: string;
  window: SeriesWindow;
  control: AbortController;
}

const NOTHING: Loaded = { picture: null, loading: false, error: null };

/**
 * One for a chart. `look` is called with every move, however small: it asks at most once for what is
 * not there, and cancels what nobody looks at any more, so an answer can never come out of order.
 */
export class Loader {
  private readonly listeners = new Set<() => void>();
  private state: Loaded = NOTHING;
  private asking: Request | null = null;
  private ahead: AbortController | null = null;
  private rest = 0;
  private wanted: { subject: Subject; view: Span; latest: number } | null = null;

  /** Loaders of one page share what they keep, and so its bound. */
  constructor(private readonly pictures = new Pictures()) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly loaded = (): Loaded => this.state;

  /** Shows a view, at once if it can. `latest` is how far there may be readings. */
  look(subject: Subject, view: Span, latest: number): void {
    this.wanted = { subject, view, latest };
    this.pauseAhead();
    const key = subjectKey(subject);
    const window = windowFor(view, subject.width);
    const now = Date.now();
    const shown = this.best(key, window.unitMs, view, latest);
    if (shown && shown !== this.state.picture) this.change({ picture: shown });
    if (shown && isFresh(shown, now) && !nearEdge(shown.window, view, latest)) {
      this.cancel();
      this.change({ loading: false, error: null });
      this.restThenLookAhead();
    } else this.ask(subject, key, window, view, latest, shown === null || !isFresh(shown, now));
  }

  /** Nothing is looked at any more. */
  clear(): void {
    this.wanted = null;
    this.stop();
    this.change(NOTHING);
  }

  /** Asks for what is looked at once more. */
  readonly retry = (): void => {
    if (!this.wanted) return;
    const { subject, view, latest } = this.wanted;
    this.cancel();
    this.look(subject, view, latest);
  };

  stop(): void {
    this.cancel();
    this.pauseAhead();
  }

  private best(key: string, unitMs: number, view: Span, latest: number): Picture | null {
    const { picture } = this.state;
    const stays = picture && fits(picture, key, unitMs, view, latest);
    if (stays && isFresh(picture, Date.now()) && !nearEdge(picture.window, view, latest)) {
      return picture;
    }
    return this.pictures.find(key, unitMs, view, latest);
  }

  private ask(
    subject: Subject,
    key: string,
    window: SeriesWindow,
    view: Span,
    latest: number,
    needed: boolean,
  ): void {
    const { asking } = this;
    const same = asking?.subject === key && asking.window.unitMs === window.unitMs;
    if (asking && same && covers(asking.window.span, view, latest)) return;
    this.cancel();
    if (!needed && this.state.error !== null) return;
    const control = new AbortController();
    this.asking = { subject: key, window, control };
    this.change({ loading: true, error: null });
    const done = this.state.picture === null ? chartAsked() : () => {};
    control.signal.addEventListener("abort", done);
    fetchPicture(subject, window, control.signal, "high")
      .then((picture) => {
        if (control.signal.aborted) return;
        this.asking = null;
        this.pictures.put(picture);
        this.change({ picture, loading: false, error: null });
        this.restThenLookAhead();
      })
      .catch((error: unknown) => {
        if (control.signal.aborted || isAbort(error)) return;
        this.asking = null;
        this.change({ loading: false, error });
      })
      .finally(done);
  }

  private cancel(): void {
    this.asking?.control.abort();
    this.asking = null;
  }

  private pauseAhead(): void {
    window.clearTimeout(this.rest);
    this.ahead?.abort();
    this.ahead = null;
  }

  private restThenLookAhead(): void {
    window.clearTimeout(this.rest);
    this.rest = window.setTimeout(() => void this.lookAhead(), REST_MS);
  }

  /** Fetches the neighbours one after another; what goes wrong is told when it is really wanted. */
  private async lookAhead(): Promise<void> {
    const { wanted, state } = this;
    if (!wanted || (state.picture?.points ?? 0) > MOST_PREFETCHED) return;
    const control = new AbortController();
    this.ahead = control;
    const { subject, view, latest } = wanted;
    const key = subjectKey(subject);
    for (const next of neighbours(view, latest)) {
      const there = windowFor(next, subject.width);
      const found = this.pictures.find(key, there.unitMs, next, latest);
      if (found && !nearEdge(found.window, next, latest)) continue;
      try {
        this.pictures.put(await fetchPicture(subject, there, control.signal, "low"));
      } catch {
        return;
      }
    }
  }

  private change(change: Partial<Loaded>): void {
    const entries = Object.entries(change) as [keyof Loaded, unknown][];
    if (entries.every(([name, value]) => this.state[name] === value)) return;
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
