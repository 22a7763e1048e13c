/** Texts of times and numbers, in the page's language and the chosen zone. */
import { LOCALE } from "../locale";
import type { Span } from "../time/range";
import { isRepeated, offsetLabel, offsetMs } from "../time/zone";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const MONTH_MS = 28 * DAY_MS;
const YEAR_MS = 365 * DAY_MS;

type Options = Intl.DateTimeFormatOptions;
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(zone: string, locale: string, options: Options) {
  const key = `${locale}|${zone}|${JSON.stringify(options)}`;
  let found = formatters.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
    formatters.set(key, found);
  }
  return found;
}

function text(instant: number, zone: string, locale: string, options: Options): string {
  return formatterOf(zone, locale, options).format(instant);
}

const TIME: Options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const TIME_S: Options = { ...TIME, second: "2-digit" };
const DAY: Options = { day: "numeric", month: "short" };
const DATE: Options = { ...DAY, year: "numeric" };

/** How ticks of a given distance are written: the tick itself, and a second line when it changes. */
function tickStyle(step: number): { main: Options; under: Options | null } {
  if (step < MINUTE_MS) return { main: TIME_S, under: DATE };
  if (step < DAY_MS) return { main: TIME, under: DATE };
  if (step < MONTH_MS) return { main: DAY, under: { year: "numeric" } };
  if (step < YEAR_MS) return { main: { month: "short" }, under: { year: "numeric" } };
  return { main: { year: "numeric" }, under: null };
}

export function tickLabels(
  ticks: readonly number[],
  step: number,
  zone: string,
  locale = LOCALE,
): string[] {
  const { main, under } = tickStyle(step);
  let former = "";
  return ticks.map((tick, i) => {
    const first = text(tick, zone, locale, main);
    const second = under ? text(tick, zone, locale, under) : "";
    if (second !== former) {
      former = second;
      return `${first}\n${second}`;
    }
    // Where the clocks were changed since the last mark, the same hour may come twice.
    const changed = offsetMs(tick, zone) !== offsetMs(ticks[i - 1] ?? tick, zone);
    return step < DAY_MS && changed ? `${first}\n${offsetLabel(tick, zone)}` : first;
  });
}

/** The moment of a reading, or the stretch of a bucket, as the legend heads it. */
export function stretchLabel(span: Span, zone: string, locale = LOCALE): string {
  const { start, end } = span;
  const length = end - start;
  const day = text(start, zone, locale, { weekday: "short", ...DATE });
  if (length >= DAY_MS * 0.9) return day;
  // Which of two equal hours is meant has to be said, and why a stretch seems longer or shorter than it is.
  const unclear =
    offsetMs(start, zone) !== offsetMs(end, zone) ||
    [start, end].some((instant) => isRepeated(instant, zone));
  const time = (instant: number, options: Options) => {
    const plain = text(instant, zone, locale, options);
    return unclear ? `${plain} ${offsetLabel(instant, zone)}` : plain;
  };
  if (length < MINUTE_MS) return `${day}, ${time(start, TIME_S)}`;
  return `${day}, ${time(start, TIME)}\u2013${time(end, TIME)}`;
}

/** Both ends of a range; what they have in common is said once, as the language has it. */
export function spanLabel(span: Span, zone: string, locale = LOCALE): string {
  const short = span.end - span.start < 10 * MINUTE_MS;
  const options = { ...DATE, ...(short ? TIME_S : TIME) };
  return formatterOf(zone, locale, options).formatRange(span.start, span.end);
}

export function dateLabel(instant: number, zone: string, locale = LOCALE): string {
  return text(instant, zone, locale, DATE);
}

export function clockLabel(instant: number, zone: string, locale = LOCALE): string {
  return text(instant, zone, locale, TIME_S);
}

const INTERVALS: Record<string, string> = {
  raw: "every reading",
  "1s": "1 second",
  "1m": "1 minute",
  "15m": "15 minutes",
  "1h": "1 hour",
  "1d": "1 day",
};

export function intervalLabel(interval: string): string {
  return INTERVALS[interval] ?? interval;
}

/** `49–125`; null where both ends are written alike, so that there is no range to tell. */
export function rangeText(low: number, high: number, digits: number): string | null {
  const [from, to] = [low, high].map((value) => valueText(value, digits));
  return from === to ? null : `${from}\u2013${to}`;
}

export function valueText(value: number, digits: number): string {
  return value.toFixed(digits);
}
