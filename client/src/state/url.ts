/**
 * What the page shows, as its address says it:
 *   ?people=a&people=b&range=24h      or   &start=2026-11-21T10:00:00Z&end=2026-11-21T11:00:00Z
 *   &tz=Europe/Berlin                 the zone of all times; the page's own choice without it
 *   &tz=own                           everybody's own clock; start and end are then told without a Z
 *   &metric=activities_heart_summary  days instead of readings
 *   &metric=oxygen_saturation         this metric below heart rate; repeated or in a list for several
 *   &zones=age                        minutes in zones worked out from the readings
 * `people=` alone means that nobody is chosen; without it the page proposes somebody.
 */

import type { ZoneRule } from "../charts/zones";
import { instantText, isPresetId, type RangeChoice } from "../time/range";
import { isZone } from "../time/zone";
import { type ChartView, parseChart, writeChart } from "./chartView";

/** As many people as there are colours that can be told apart. */
export const MAX_PEOPLE = 8;

export interface View {
  people: string[] | null;
  range: RangeChoice | null;
  zone: string | null;
  /** Whether everybody's own clock is to be the zone. */
  own: boolean;
  metric: Metric;
  /** What is shown below heart rate, in this order, by the names of `GET /v1/metrics`. */
  others: readonly string[];
  zones: ZoneRule | null;
  chart: ChartView;
}

export const INTRADAY = "activities_heart_intraday";
export const SUMMARY = "activities_heart_summary";
/** Names that need no pane of their own. */
const OF_HEART_RATE: ReadonlySet<string> = new Set([INTRADAY, SUMMARY, "heart_rate"]);
export type Metric = typeof INTRADAY | typeof SUMMARY;

/** Years of more than four digits fit neither the server nor the fields of the form. */
const LATEST = Date.parse("9999-12-31T00:00:00Z");
const USER_ID = /^[A-Za-z0-9._:@+-]{1,128}$/;

function parsePeople(params: URLSearchParams): string[] | null {
  if (!params.has("people")) return null;
  const valid = params.getAll("people").filter((id) => USER_ID.test(id));
  return [...new Set(valid)].slice(0, MAX_PEOPLE);
}

/** A time without an offset, which stands for that of the zone in which it is shown. */
const WALL_CLOCK = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?$/;

function parseRange(params: URLSearchParams): RangeChoice | null {
  const preset = params.get("range");
  if (preset !== null && isPresetId(preset)) return { kind: "preset", preset };
  const texts = ["start", "end"].map((name) => params.get(name) ?? "");
  const wall = texts.every((text) => WALL_CLOCK.test(text));
  const [start = Number.NaN, end = Number.NaN] = texts.map((text) => {
    return Date.parse(wall ? `${text}Z` : text);
  });
  if (!(start >= 0 && end > start && end <= LATEST)) return null;
  const span = { start, end };
  return wall ? { kind: "span", span, wall } : { kind: "span", span };
}

const OWN = "own";
const METRIC_NAME = /^[a-z][a-z0-9_]{0,63}$/;

/** A store holds 32 metrics; an address gets no more panes than that. */
const MAX_OTHERS = 31;

function metricsIn(params: URLSearchParams): string[] {
  const all = params.getAll("metric").flatMap((text) => text.split(","));
  return all.map((name) => name.trim().replaceAll("-", "_"));
}

function parseOthers(named: readonly string[]): string[] {
  const others = named.filter((name) => METRIC_NAME.test(name) && !OF_HEART_RATE.has(name));
  return [...new Set(others)].slice(0, MAX_OTHERS);
}

export function parseView(search: string): View {
  const params = new URLSearchParams(search);
  const zone = params.get("tz");
  const zones = params.get("zones");
  const named = metricsIn(params);
  return {
    people: parsePeople(params),
    range: parseRange(params),
    zone: zone !== null && zone !== OWN && isZone(zone) ? zone : null,
    own: zone === OWN,
    metric: named.includes(SUMMARY) ? SUMMARY : INTRADAY,
    others: parseOthers(named),
    zones: zones === "age" || zones === "karvonen" ? zones : null,
    chart: parseChart(params),
  };
}

export function formatView(view: View): string {
  const params = new URLSearchParams();
  for (const id of view.people ?? []) params.append("people", id);
  if (view.people?.length === 0) params.append("people", "");
  if (view.range?.kind === "preset") params.set("range", view.range.preset);
  if (view.range?.kind === "span") {
    const { span, wall } = view.range;
    const text = (instant: number) => instantText(instant).slice(0, wall ? -1 : undefined);
    params.set("start", text(span.start));
    params.set("end", text(span.end));
  }
  if (view.zone !== null) params.set("tz", view.zone);
  else if (view.own) params.set("tz", OWN);
  if (view.metric !== INTRADAY) params.append("metric", view.metric);
  for (const name of view.others) params.append("metric", name);
  if (view.zones !== null) params.set("zones", view.zones);
  writeChart(params, view.chart);
  // These three may stand in a query as they are; addresses are read by people too.
  const text = params.toString();
  const plain = text.replaceAll("%3A", ":").replaceAll("%2F", "/").replaceAll("%40", "@");
  return plain ? `?${plain}` : "";
}
