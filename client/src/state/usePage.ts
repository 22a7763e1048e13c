/** What the series page knows, put together from the address, the people and the answers. */
import { useCallback, useEffect, useMemo } from "react";
import type { User } from "../api/types";
import {
  defaultRange,
  extentOf,
  isCivil,
  type RangeChoice,
  resolveRange,
  type Span,
} from "../time/range";
import { browserZone, wallOf } from "../time/zone";
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
  /** The zone of all times; with everybody's own clocks "UTC", as which the times of the clocks are then counted. */
  zone: string;
  /** Everybody's own zone, where each is shown on their own clock. */
  clocks: readonly string[] | null;
  /** What the address says of the zone. */
  zoneSaid: { zone: string | null; own: boolean };
  /** What stands for a span of this page in the address. */
  choiceOf: (span: Span) => RangeChoice;
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
  few: number | null,
) {
  const { answered, users } = directory;
  useEffect(() => {
    if (view.people === null) {
      if (few === null || answered !== "" || users.length === 0) return;
      const measured = users.filter((user) => user.readings > 0);
      const proposed = (measured.length > 0 ? measured : users).slice(0, few);
      goTo({ people: proposed.map((user) => user.user_id) }, "replace");
    } else if (view.range === null && known && view.people.length > 0) {
      // Of nobody, nothing says where there is something to see.
      goTo({ range: defaultRange(extent, Date.now()) }, "replace");
    }
  }, [view.people, view.range, answered, users, extent, known, few]);
}

/** Instants as one of the clocks shows them first, and one of them last. */
function acrossClocks({ start, end }: Span, clocks: readonly string[]): Span {
  return {
    start: Math.min(...clocks.map((one) => wallOf(start, one))),
    end: Math.max(...clocks.map((one) => wallOf(end, one))),
  };
}

/** A range of instants as a range of everybody's clock: what the reader's clock shows. */
function onWall(choice: RangeChoice, mine: string): RangeChoice {
  if (choice.kind === "preset" || choice.wall) return choice;
  const { start, end } = choice.span;
  return { kind: "span", span: { start: wallOf(start, mine), end: wallOf(end, mine) }, wall: true };
}

/** `few`: an address that names nobody shows so many, the first who have readings; null before that is known. */
export function usePage(view: View, directory: Directory, width: number, few: number | null): Page {
  const people = view.people ?? NOBODY;
  const choice = view.range;
  const mine = browserZone();

  const records = useRecords(people, directory.users);
  const known = people.every((id) => records.has(id));
  // A page of one person is on their clock, unless the address says otherwise.
  const own = view.own || (few === 1 && view.zone === null);
  const zones = own ? people.map((id) => records.get(id)?.time_zone ?? mine) : [];
  const differ = new Set(zones).size > 1;
  const clockNames = differ ? zones.join(" ") : "";
  const clocks = useMemo(() => (clockNames ? clockNames.split(" ") : null), [clockNames]);
  const zone = clocks ? "UTC" : (view.zone ?? zones[0] ?? mine);
  const history = useMemo(() => {
    return extentOf(people.flatMap((id) => records.get(id) ?? []));
  }, [people, records]);
  const extent = useMemo(() => {
    return history && clocks ? acrossClocks(history, clocks) : history;
  }, [history, clocks]);
  useCompletion(view, directory, history, known, few);

  const instant = useClock(choice);
  const now = clocks ? Math.max(...clocks.map((one) => wallOf(instant, one))) : instant;
  const chosen = choice && clocks ? onWall(choice, mine) : choice;
  // "Today" is the reader's date, on which everybody's clock is looked at.
  const civil = chosen?.kind === "preset" && isCivil(chosen.preset);
  const moment = clocks && civil ? wallOf(instant, mine) : now;
  const wanted = resolveRange(chosen ?? { kind: "preset", preset: "24h" }, moment, extent, zone);
  const { start, end } = wanted;
  const asked = useMemo<Span>(() => ({ start, end }), [start, end]);

  const { chart } = view;
  const needsRecords = own || (choice?.kind === "preset" && choice.preset === "all");
  const answerable = choice !== null && people.length > 0 && (known || !needsRecords);
  const ready = answerable && width > 0 && view.metric === INTRADAY;
  const subject = useMemo<Subject | null>(() => {
    return ready ? { people, zone, clocks, metric: null, interval: chart.resolution, width } : null;
  }, [ready, people, zone, clocks, chart.resolution, width]);
  const latest = Math.max(now, end);
  const series = useSeries(subject, asked, latest);

  const nameOf = useCallback((id: string) => records.get(id)?.name ?? id, [records]);
  const zoneOf = useCallback(
    (id: string) => (clocks ? zone : (records.get(id)?.time_zone ?? zone)),
    [records, zone, clocks],
  );
  const choiceOf = useCallback(
    (span: Span): RangeChoice => ({
      kind: "span",
      span,
      ...(clocks ? { wall: true as const } : {}),
    }),
    [clocks],
  );
  const recordOf = useCallback((id: string) => records.get(id) ?? null, [records]);
  const zoneSaid = { zone: view.zone, own: view.own };
  const about = { zoneSaid, people, nameOf, recordOf, zoneOf, choice, choiceOf, zone, clocks, now };
  return { ...about, latest, asked, extent, answerable, chart, subject, series };
}
