import { addressOf } from "../api/client";
import { read } from "../charts/reader";
import { instantText } from "../time/range";
import { type Picture, type Subject, subjectKey } from "./pictures";
import type { SeriesWindow } from "./windows";

/** Asks the server for a window and has the answer read; cancelled, it throws and gives nothing. */
export async function fetchPicture(
  subject: Subject,
  window: SeriesWindow,
  signal: AbortSignal,
  priority: RequestPriority,
): Promise<Picture> {
  const { people, zone, metric, interval } = subject;
  const { span, maxPoints } = window;
  const query = {
    start_date: instantText(span.start),
    end_date: instantText(span.end),
    user_ids: [...people],
    tz: zone,
    ...(metric === null ? {} : { metric: [metric] }),
    ...(interval === null ? { max_points: maxPoints } : { interval }),
  };
  const askedAt = Date.now();
  const address = addressOf("/v1/multi-user/timeseries", query);
  const reading = await read(address, { people, zone, span }, priority, signal);
  signal.throwIfAborted();
  return { ...reading, subject: subjectKey(subject), window, askedAt };
}
