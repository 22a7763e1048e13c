/** Answers that were drawn or may be drawn next, the latest used last; bounded by their points. */
import type { Reading } from "../charts/readAnswer";
import type { Span } from "../time/range";
import type { Rung } from "./chartView";
import { covers, nearEdge, type SeriesWindow } from "./windows";

/** Whom and how to ask, apart from the stretch. */
export interface Subject {
  people: readonly string[];
  zone: string;
  /** Everybody's own zone, where times are those of their own clocks; null where `zone` is that of all. */
  clocks: readonly string[] | null;
  /** A name of `GET /v1/metrics`; null for heart rate. */
  metric: string | null;
  /** A rung of the server's ladder, or null to let the server choose by the number of points. */
  interval: Rung | null;
  /** Of the chart, in CSS pixels. */
  width: number;
}

/** One answer, and what was asked for. */
export interface Picture extends Reading {
  subject: string;
  window: SeriesWindow;
  askedAt: number;
}

/** Some 80 bytes a point: at most some 200 MB, and only where single readings of days were asked for. */
const MOST_POINTS = 2_500_000;
const MOST_PICTURES = 64;
/** What reaches into the present, or was only lately the present, is asked again after this. */
export const FRESH_MS = 25_000;
/** Readings also come late; what lies back is asked again after this. */
const FRESH_PAST_MS = 300_000;

/** Subjects of the same text get the same answers. */
export function subjectKey({ people, zone, clocks, metric, interval, width }: Subject): string {
  return JSON.stringify([
    people,
    zone,
    clocks,
    metric,
    interval,
    interval === null ? Math.ceil(width / 100) : 0,
  ]);
}

export function isFresh(picture: Picture, now: number): boolean {
  const reachesPresent = picture.window.span.end > picture.askedAt;
  return now - picture.askedAt < (reachesPresent ? FRESH_MS : FRESH_PAST_MS);
}

/** Whether a picture is what would be asked for to show a view. */
export function fits(picture: Picture, subject: string, unitMs: number, view: Span, now: number) {
  const same = picture.subject === subject && picture.window.unitMs === unitMs;
  return same && covers(picture.window.span, view, now);
}

export class Pictures {
  private readonly kept = new Map<string, Picture>();

  private static keyOf(subject: string, window: SeriesWindow): string {
    return `${subject} ${window.span.start} ${window.unitMs}`;
  }

  put(picture: Picture): void {
    const key = Pictures.keyOf(picture.subject, picture.window);
    this.kept.delete(key);
    this.kept.set(key, picture);
    let points = 0;
    for (const one of this.kept.values()) points += one.points;
    for (const [oldest, one] of this.kept) {
      if (points <= MOST_POINTS && this.kept.size <= MOST_PICTURES) break;
      if (oldest === key) break;
      this.kept.delete(oldest);
      points -= one.points;
    }
  }

  /** A picture that fits a view: a fresh one before a stale one, one with room around before others. */
  find(subject: string, unitMs: number, view: Span, now: number): Picture | null {
    let found: Picture | null = null;
    let best = -1;
    for (const picture of this.kept.values()) {
      if (!fits(picture, subject, unitMs, view, now)) continue;
      const merit = (isFresh(picture, now) ? 2 : 0) + (nearEdge(picture.window, view, now) ? 0 : 1);
      if (merit < best) continue;
      best = merit;
      found = picture;
    }
    if (found) {
      const key = Pictures.keyOf(subject, found.window);
      this.kept.delete(key);
      this.kept.set(key, found);
    }
    return found;
  }
}
