/** Civil time in any IANA zone, by way of Intl: wall clocks, days of 23, 24 or 25 hours. */

const HOUR_MS = 3_600_000;
const formatters = new Map<string, Intl.DateTimeFormat>();

export function browserZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

export function isZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}

function formatterOf(zone: string): Intl.DateTimeFormat {
  let found = formatters.get(zone);
  if (!found) {
    found = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "iso8601",
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formatters.set(zone, found);
  }
  return found;
}

/** The wall clock of the zone at an instant, counted as if it were UTC (whole seconds). */
function wallMs(instant: number, zone: string): number {
  const part: Record<string, number> = {};
  for (const { type, value } of formatterOf(zone).formatToParts(instant)) {
    part[type] = Number(value);
  }
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** Clocks are changed on quarters of an hour of UTC, so that a quarter has one offset. */
const QUARTER_MS = HOUR_MS / 4;
/** Far more than a picture's axis needs; a full table is thrown away and begun again. */
const MOST_OFFSETS = 4096;
const offsets = new Map<string, Map<number, number>>();

function offsetsOf(zone: string): Map<number, number> {
  const found = offsets.get(zone);
  if (found && found.size < MOST_OFFSETS) return found;
  const fresh = new Map<number, number>();
  offsets.set(zone, fresh);
  return fresh;
}

/** How far the zone's wall clock is ahead of UTC at an instant. Asking Intl is slow, so it is kept. */
export function offsetMs(instant: number, zone: string): number {
  const kept = offsetsOf(zone);
  const quarter = Math.floor(instant / QUARTER_MS);
  let offset = kept.get(quarter);
  if (offset === undefined) {
    offset = wallMs(quarter * QUARTER_MS, zone) - quarter * QUARTER_MS;
    kept.set(quarter, offset);
  }
  return offset;
}

/** The instant of a wall clock (counted as if it were UTC): the first of two, and past a gap by the gap's length. */
export function instantOf(wall: number, zone: string): number {
  const before = offsetMs(wall - 24 * HOUR_MS, zone);
  const after = offsetMs(wall + 24 * HOUR_MS, zone);
  for (const offset of [before, after]) {
    if (offsetMs(wall - offset, zone) === offset) return wall - offset;
  }
  return wall - before;
}

/** No zone changes its clocks twice within so long. */
const AROUND_MS = 24 * HOUR_MS;

/** Whether the zone's clocks show the same once more, before or after: they were set back around then. */
export function isRepeated(instant: number, zone: string): boolean {
  const before = offsetMs(instant - AROUND_MS, zone);
  const after = offsetMs(instant + AROUND_MS, zone);
  if (before <= after) return false;
  const wall = instant + offsetMs(instant, zone);
  return [before, after].every((offset) => offsetMs(wall - offset, zone) === offset);
}

/** The wall clock at an instant, counted as if it were UTC. */
export function wallOf(instant: number, zone: string): number {
  return instant + offsetMs(instant, zone);
}

/** `2026-11-21T14:05:00`, as a datetime-local input wants it. */
export function toWall(instant: number, zone: string): string {
  return new Date(wallMs(instant, zone)).toISOString().slice(0, 19);
}

/** The instant of `2026-11-21`, `2026-11-21T14:05` or `…:00` in a zone; null when it is none. */
export function fromWall(text: string, zone: string): number | null {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?)?$/.test(text)) return null;
  const wall = Date.parse(text.includes("T") ? `${text}Z` : `${text}T00:00Z`);
  return Number.isNaN(wall) ? null : instantOf(wall, zone);
}

/** The same wall clock a number of days and years away (a leap day becomes 28 February). */
export function addCivil(
  instant: number,
  zone: string,
  by: { days?: number; years?: number },
): number {
  const wall = new Date(wallMs(instant, zone));
  const month = wall.getUTCMonth();
  wall.setUTCFullYear(wall.getUTCFullYear() + (by.years ?? 0));
  if (wall.getUTCMonth() !== month) wall.setUTCDate(0);
  wall.setUTCDate(wall.getUTCDate() + (by.days ?? 0));
  return instantOf(wall.getTime(), zone) + (instant % 1000);
}

/** The start of the civil day after the one an instant lies in. */
export function nextMidnight(instant: number, zone: string): number {
  return instantOf((civilDay(instant, zone) + 1) * 24 * HOUR_MS, zone);
}

/** The number of the civil day that an instant lies in; 1 January 1970 is 0. */
export function civilDay(instant: number, zone: string): number {
  return Math.floor((instant + offsetMs(instant, zone)) / (24 * HOUR_MS));
}

/** `UTC+1`, `UTC-3:30`, `UTC`. */
export function offsetLabel(instant: number, zone: string): string {
  const minutes = Math.round(offsetMs(instant, zone) / 60_000);
  if (minutes === 0) return "UTC";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  const sign = minutes < 0 ? "\u2212" : "+";
  return `UTC${sign}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}
