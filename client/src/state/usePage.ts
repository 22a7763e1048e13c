/** What the series page knows, put together from the address, the people and the answers. */
import { useCallback, useEffect, useMemo } from "react";
import type { User } from "../api/types";
import { defaultRange, extentOf, type RangeChoice, resolveRange, type Span } from "../time/range";
import { browserZone } from "../time/zone";
import type { ChartView } from "./chartView";
import type { Subject } from "./pictures";
import { INTRADAY, type View } from "./url";
import { useClock } from "./useClock";
import { type Directory, useRecords } from "./usePeople";
import { type SeriesState, useSeries } from "./useSeries";
import { goTo } from "./useView";

const NOBODY: readonly string[] = [];

export interface Page {
  people: readonly string[];
  nameOf: (userId: string) => string;
  /** What the server says of a person; null while it is not known, and for whom it does not know. */
  recordOf: (userId: string) => User | null;
  /** The zone in which a person's days are counted, as far as it is known. */
  zoneOf: (userId: string) => string;
  choice: RangeChoice | null;
  zone: string;
  now: number;
  /** How late there may be readings. */
  latest: number;
  /** What was asked for. */
  asked: Span;
  /** From the first to the last reading of the chosen people. */
  extent: Span | null;
  /** Whether the range of chosen people is settled, so that it can be asked for. */
  answerable: boolean;
  /** How the chart is looked at. */
  chart: ChartView;
  /** Whom and how the chart asks; null before that is known. */
  subject: Subject | null;
  series: SeriesState;
}

/** An address that leaves people or range open is completed, without a step in the history. */
function useCompletion(
  view: View,
  directory: Directory,
  extent: Span | null,
  known: boolean,
  few: number,
) {
  const { answered, users } = directory;
  useEffect(() => {
    if (view.people === null) {
      if (answered !== "" || users.length === 0) return;
      const measured = users.filter((user) => user.readings > 0);
      const proposed = (measured.length > 0 ? measured : users).slice(0, few);
      goTo({ people: proposed.map((user) => user.user_id) }, "replace");
    } else if (view.range === null && known && view.people.length > 0) {
      // Of nobody, nothing says where there is something to see.
      goTo({ range: defaultRange(extent, Date.now()) }, "replace");
    }
  }, [view.people, view.range, answered, users, extent, known, few]);
}

/** `few`: an address that names nobody shows so many, the first who have readings. */
export function usePage(view: View, directory: Directory, width: number, few: number): Page {
  const people = view.people ?? NOBODY;
  const choice = view.range;
  const zone = view.zone ?? browserZone();

  const records = useRecords(people, directory.users);
  const known = people.every((id) => records.has(id));
  const extent = useMemo(() => {
    return extentOf(people.flatMap((id) => records.get(id) ?? []));
  }, [people, records]);
  useCompletion(view, directory, extent, known, few);

  const now = useClock(choice);
  const wanted = resolveRange(choice ?? { kind: "preset", preset: "24h" }, now, extent, zone);
  const { start, end } = wanted;
  const asked = useMemo<Span>(() => ({ start, end }), [start, end]);

  const { chart } = view;
  const needsExtent = choice?.kind === "preset" && choice.preset === "all";
  const answerable = choice !== null && people.length > 0 && (known || !needsExtent);
  const ready = answerable && width > 0 && view.metric === INTRADAY;
  const subject = useMemo<Subject | null>(() => {
    return ready ? { people, zone, metric: null, interval: chart.resolution, width } : null;
  }, [ready, people, zone, chart.resolution, width]);
  const latest = Math.max(now, end);
  const series = useSeries(subject, asked, latest);

  const nameOf = useCallback((id: string) => records.get(id)?.name ?? id, [records]);
  const zoneOf = useCallback((id: string) => records.get(id)?.time_zone ?? zone, [records, zone]);
  const recordOf = useCallback((id: string) => records.get(id) ?? null, [records]);
  const about = { people, nameOf, recordOf, zoneOf, choice, zone, now };
  return { ...about, latest, asked, extent, answerable, chart, subject, series };
}
