/** Where the axes are marked: on round numbers of the zone's own clock and calendar, and of beats. */
import type { Span } from "../time/range";
import { civilDay, instantOf, offsetMs } from "../time/zone";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MONTH_MS = 30.44 * DAY_MS;
const YEAR_MS = 365.25 * DAY_MS;

/** Up to an hour marks have the same distance throughout, beyond they follow the calendar. */
const CLOCK_STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((count) => count * SECOND_MS),
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE_MS),
  HOUR_MS,
];
const HOURS = [2, 3, 6, 12];
/** Weeks begin on Mondays. */
const DAYS = [1, 2, 7, 14];
const MONTHS = [1, 3, 6];
const YEARS = [1, 2, 5, 10, 20];

export interface Ticks {
  /** In milliseconds, rising, within the span. */
  at: number[];
  /** The least distance of two marks, roughly: it says how they are to be written. */
  step: number;
}

type Marks = (span: Span, zone: string) => number[];

/** Marks where the wall clock is a multiple of the step; a repeated hour has its marks twice. */
function onTheClock(step: number): Marks {
  return ({ start, end }, zone) => {
    const marks: number[] = [];
    for (let at = Math.floor(start); at <= end; ) {
      const over = (at + offsetMs(at, zone)) % step;
      if (over === 0) {
        marks.push(at);
        at += step;
      } else at += step - over;
    }
    return marks;
  };
}

/** Marks at given hours of each civil day; one that a change of time skips is not marked twice. */
function atHours(every: number): Marks {
  return ({ start, end }, zone) => {
    const marks: number[] = [];
    for (let day = civilDay(start, zone); day <= civilDay(end, zone); day += 1) {
      for (let hour = 0; hour < 24; hour += every) {
        const at = instantOf(day * DAY_MS + hour * HOUR_MS, zone);
        if (at > (marks.at(-1) ?? Number.NEGATIVE_INFINITY)) marks.push(at);
      }
    }
    return marks;
  };
}

function onDays(every: number): Marks {
  // Day 0 was a Thursday.
  const shift = every % 7 === 0 ? 3 : 0;
  return ({ start, end }, zone) => {
    const marks: number[] = [];
    for (let day = civilDay(start, zone); day <= civilDay(end, zone) + 1; day += 1) {
      if ((day + shift) % every === 0) marks.push(instantOf(day * DAY_MS, zone));
    }
    return marks;
  };
}

/** Marks on the first day of every so many months, counted from January. */
function onMonths(every: number): Marks {
  return ({ start, end }, zone) => {
    const first = new Date(civilDay(start, zone) * DAY_MS);
    const months = first.getUTCFullYear() * 12 + first.getUTCMonth();
    const marks: number[] = [];
    for (let month = months - (months % every); ; month += every) {
      const at = instantOf(Date.UTC(Math.floor(month / 12), month % 12, 1), zone);
      if (at > end) return marks;
      marks.push(at);
    }
  };
}

const LADDER: readonly { step: number; marks: Marks }[] = [
  ...CLOCK_STEPS.map((step) => ({ step, marks: onTheClock(step) })),
  ...HOURS.map((count) => ({ step: count * HOUR_MS, marks: atHours(count) })),
  ...DAYS.map((count) => ({ step: count * DAY_MS, marks: onDays(count) })),
  ...MONTHS.map((count) => ({ step: count * MONTH_MS, marks: onMonths(count) })),
  ...YEARS.map((count) => ({ step: count * YEAR_MS, marks: onMonths(12 * count) })),
];

/** Marks at least so far apart, on the finest round distance of the zone's clock or calendar. */
export function timeTicks(span: Span, zone: string, leastDistanceMs: number): Ticks {
  const rung = LADDER.find(({ step }) => step >= leastDistanceMs) ?? LADDER.at(-1);
  if (!rung) return { at: [], step: 0 };
  const at = rung.marks(span, zone).filter((mark) => mark >= span.start && mark <= span.end);
  return { at, step: rung.step };
}

const BEATS = [1, 2, 5, 10, 20, 50, 100];

/** Round numbers of beats between two, so that about as many as wanted fit. */
export function valueTicks(low: number, high: number, wanted: number): number[] {
  const least = (high - low) / Math.max(1, wanted);
  const step = BEATS.find((one) => one >= least) ?? 200;
  const marks: number[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) marks.push(at);
  return marks;
}

/** The values a metric takes, which say how its axis is cut. */
export interface Scale {
  min: number;
  max: number;
}

/** A flat line gets this part of all accepted values as its height. */
const LEAST_PART = 0.1;

function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((one) => one * power >= least * 0.999) ?? 10);
}

/** A number without the dust that steps of tenths leave. */
const clean = (value: number) => Number(value.toPrecision(10));

/** Room around what is seen, on round numbers and within what is accepted; all of that where nothing is seen. */
export function scaledRange(
  seen: readonly [number, number] | null,
  scale: Scale,
): [number, number] {
  const { min, max } = scale;
  if (!seen) return [min, max];
  const [low, high] = seen;
  const least = (max - min) * LEAST_PART;
  const lacking = Math.max(0, least - (high - low)) / 2;
  const step = roundStep(Math.max(least, high - low) / 5);
  const bottom = Math.floor((low - lacking) / step) * step;
  const top = Math.ceil((high + lacking) / step) * step;
  // What was stored under other bounds is still seen.
  const within = [
    Math.max(bottom, Math.min(min, low)),
    Math.min(top, Math.max(max, high)),
  ] as const;
  return [clean(within[0]), clean(within[1])];
}

/** Round numbers between two, of any size. */
export function scaledTicks(low: number, high: number, wanted: number): number[] {
  const step = roundStep((high - low) / Math.max(1, wanted));
  const first = Math.ceil(low / step - 1e-6);
  const last = Math.floor(high / step + 1e-6);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => clean((first + i) * step));
}

/** The widest ranges of values of which two decimals, and one, say something. */
const WIDEST_OF_TWO = 40;
const WIDEST_OF_ONE = 500;

/** How many decimals of a metric's values are shown, by the range of what it accepts: of degrees two, of percent one. */
export function digitsOf(scale: Scale | null): number {
  if (scale === null) return 0;
  const range = scale.max - scale.min;
  if (range <= WIDEST_OF_TWO) return 2;
  return range <= WIDEST_OF_ONE ? 1 : 0;
}

/** A flat line still gets this many beats of height. */
const MIN_HEIGHT_BPM = 20;

/** Room above and below, on whole tens, and never a height that makes noise look like news. */
export function heightRange(seen: readonly [number, number] | null): [number, number] {
  if (!seen) return [40, 120];
  const [low, high] = seen;
  const lacking = Math.max(0, MIN_HEIGHT_BPM - (high - low)) / 2;
  const bottom = Math.floor((low - lacking - 2) / 10) * 10;
  return [Math.max(0, bottom), Math.ceil((high + lacking + 2) / 10) * 10];
}
