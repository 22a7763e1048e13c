/** Lengths, ages, sizes and numbers in the page's language. */
import { LOCALE } from "../locale";

const SECOND_MS = 1000;
const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400_000],
  ["month", 30 * 86_400_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", SECOND_MS],
];

function unitText(value: number, unit: string, locale = LOCALE): string {
  const options = { style: "unit", unit, unitDisplay: "short" } as const;
  return new Intl.NumberFormat(locale, { ...options, maximumFractionDigits: 0 }).format(value);
}

/** `2 hr 5 min`: the two largest units, as the language has them. */
export function durationLabel(lengthMs: number, locale = LOCALE): string {
  let rest = Math.max(0, Math.round(lengthMs / SECOND_MS)) * SECOND_MS;
  const parts: string[] = [];
  for (const [unit, size] of STEPS.slice(2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(unitText(count, unit, locale));
    if (parts.length === 2) break;
  }
  return parts.join(" ") || unitText(0, "second", locale);
}

/** `1 h 5 min` for minutes of a zone. */
export function minutesLabel(minutes: number, locale = LOCALE): string {
  return minutes === 0 ? "0" : durationLabel(minutes * 60_000, locale);
}

/** `5 minutes ago`, `in 2 hours`. */
export function agoLabel(instant: number, now: number, locale = LOCALE): string {
  const by = instant - now;
  const [unit, size] = STEPS.find(([, length]) => Math.abs(by) >= length) ?? ["second", SECOND_MS];
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  return format.format(Math.round(by / size), unit);
}

/** `1.2 GB`, in steps of a thousand. */
export function sizeLabel(bytes: number, locale = LOCALE): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const value = bytes / 1000 ** step;
  const options = { style: "unit", unit: units[step] ?? "byte", unitDisplay: "short" } as const;
  return new Intl.NumberFormat(locale, { ...options, maximumSignificantDigits: 3 }).format(value);
}

/** `8,123,456`: a number of things. */
export function countLabel(value: number, locale = LOCALE): string {
  return value.toLocaleString(locale);
}

export function numberLabel(value: number, locale = LOCALE): string {
  return value.toLocaleString(locale, { maximumSignificantDigits: 3 });
}

/** `1 day`, `1,024 days`. */
/** The server tells imports of equal names apart by when they came, which the page says beside the name. */
export function importedName(name: string): string {
  return name.replace(/ \d{4}-\d\d-\d\dT[\d:.]+Z$/, "");
}

export function pluralLabel(count: number, one: string, several: string, locale = LOCALE): string {
  return `${count.toLocaleString(locale)} ${count === 1 ? one : several}`;
}

/** `42.4 %`, as the language has it; what is there at all is never told as none. */
export function shareLabel(share: number, locale = LOCALE): string {
  const percent = (value: number) =>
    value.toLocaleString(locale, { style: "percent", maximumFractionDigits: 1 });
  return share > 0 && share < 0.0005 ? `under ${percent(0.001)}` : percent(share);
}

/** Beats a minute to the tenth, `64.5`, without one that says nothing, `64`. */
export function beatsLabel(value: number, locale = LOCALE): string {
  return value.toLocaleString(locale, { maximumFractionDigits: 1 });
}

/** `81.3`, or `81,3`: always so many decimals, so that a column of them lines up. */
export function decimalLabel(value: number, decimals = 1, locale = LOCALE): string {
  return value.toLocaleString(locale, {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}
