import { addressOf } from "../api/client";
import type { Reading } from "../charts/readAnswer";
import { read } from "../charts/reader";
import { instantText } from "../time/range";
import { instantOf } from "../time/zone";
import { type Picture, type Subject, subjectKey } from "./pictures";
import type { SeriesWindow } from "./windows";

/** Asks the server for a window and has the answer read; cancelled, it throws and gives nothing. */
export async function fetchPicture(
  subject: Subject,
  window: SeriesWindow,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<Picture> {
  const askedAt = Date.now();
  const reading =
    subject.clocks === null
      ? await ask(subject, window, signal, priority)
      : await askByClocks(subject, subject.clocks, window, signal, priority);
  signal.throwIfAborted();
  return { ...reading, subject: subjectKey(subject), window, askedAt };
}

/** Where a window is asked for. */
export function questionFor(
  { people, zone, metric, interval }: Subject,
  { span, maxPoints }: SeriesWindow,
): string {
  const query = {
    start_date: instantText(span.start),
    end_date: instantText(span.end),
    user_ids: [...people],
    tz: zone,
    ...(metric === null ? {} : { metric: [metric] }),
    ...(interval === null ? { max_points: maxPoints } : { interval }),
  };
  return addressOf("/v1/multi-user/timeseries", query);
}

function ask(
  subject: Subject,
  window: SeriesWindow,
  signal: AbortSignal,
  priority: RequestPriority,
  wall = false,
): Promise<Reading> {
  const { people, zone } = subject;
  const asked = { people, zone, span: window.span, wall };
  return read(questionFor(subject, window), asked, priority, signal);
}

/** One question a zone: the same hours of the clock are other instants in each. All get the resolution of the first. */
async function askByClocks(
  subject: Subject,
  clocks: readonly string[],
  window: SeriesWindow,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<Reading> {
  const inZone = (zone: string, interval: string | null) => {
    const [start, end] = [window.span.start, window.span.end].map((at) => instantOf(at, zone));
    const people = subject.people.filter((_id, i) => clocks[i] === zone);
    const its = { ...subject, people, zone, interval: interval as Subject["interval"] };
    const there = { ...window, span: { start: Math.max(0, start ?? 0), end: end ?? 0 } };
    return ask(its, there, signal, priority, true);
  };
  const [zone = "UTC", ...others] = new Set(clocks);
  const first = await inZone(zone, subject.interval);
  const rest = await Promise.all(others.map((one) => inZone(one, first.interval)));
  return together(subject.people, [first, ...rest], first);
}

/** Readings of several answers as one, in the order of the people. */
function together(people: readonly string[], all: readonly Reading[], first: Reading): Reading {
  const found = all.flatMap(({ tracks, pyramids }) => {
    return tracks.flatMap((track, i) => {
      const pyramid = pyramids[i];
      return pyramid ? [{ track, pyramid }] : [];
    });
  });
  const place = (userId: string) => people.indexOf(userId);
  found.sort((a, b) => place(a.track.userId) - place(b.track.userId));
  return {
    ...first,
    tracks: found.map(({ track }) => track),
    pyramids: found.map(({ pyramid }) => pyramid),
    points: all.reduce((sum, one) => sum + one.points, 0),
    missing: all.flatMap((one) => one.missing),
  };
}
