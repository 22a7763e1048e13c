/** The last minutes of some people's readings, kept by device and drawn as the server would. */
import { bridgeOf } from "../charts/buckets";
import type { Line } from "../figures/line";

const MINUTE_MS = 60_000;
/** What the server takes for a device of which nobody said anything. */
const UNKNOWN_PRIORITY = 999;

export interface RawColumns {
  timestamp: string[];
  value: number[];
  device_id: string[];
  confidence: (number | null)[];
}

interface DeviceReadings {
  at: number[];
  value: number[];
}

type Devices = Map<string, DeviceReadings>;
/** The lower number is believed first. */
export type Priorities = ReadonlyMap<string, number>;

/** Where a time lies, or would: the number of times before it. */
function placeOf(at: readonly number[], time: number): number {
  let low = 0;
  let high = at.length;
  // Readings come at the end, almost always.
  if (high > 0 && (at[high - 1] ?? 0) < time) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((at[middle] ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class LiveBuffer {
  private people = new Map<string, Devices>();

  /** A reading of the same device and time takes the place of the former; one of confidence 0 does not count. */
  add(userId: string, columns: RawColumns): void {
    const devices = this.people.get(userId) ?? new Map<string, DeviceReadings>();
    this.people.set(userId, devices);
    columns.timestamp.forEach((text, i) => {
      const device = columns.device_id[i] ?? "";
      const readings = devices.get(device) ?? { at: [], value: [] };
      devices.set(device, readings);
      const time = Date.parse(text);
      const place = placeOf(readings.at, time);
      const there = readings.at[place] === time ? 1 : 0;
      const counts = columns.confidence[i] !== 0;
      readings.at.splice(place, there, ...(counts ? [time] : []));
      readings.value.splice(place, there, ...(counts ? [columns.value[i] ?? 0] : []));
    });
  }

  /** Forgets what is known of somebody, before all of it comes anew. */
  clear(userId: string): void {
    this.people.delete(userId);
  }

  /** Forgets whole minutes before a time, so that each minute's device can still be told. */
  forgetBefore(time: number): void {
    const minute = Math.floor(time / MINUTE_MS) * MINUTE_MS;
    for (const devices of this.people.values()) {
      for (const [device, readings] of devices) {
        const count = placeOf(readings.at, minute);
        readings.at.splice(0, count);
        readings.value.splice(0, count);
        if (readings.at.length === 0) devices.delete(device);
      }
    }
  }

  /** A person's readings from a time on: in each UTC minute those of the device believed first. */
  line(userId: string, since: number, priorities: Priorities): Line {
    const devices = [...(this.people.get(userId) ?? [])].sort(([a], [b]) => {
      const byPriority =
        (priorities.get(a) ?? UNKNOWN_PRIORITY) - (priorities.get(b) ?? UNKNOWN_PRIORITY);
      return byPriority || (a < b ? -1 : 1);
    });
    const points: [number, number][] = [];
    const taken = new Map<number, string>();
    for (const [device, { at, value }] of devices) {
      at.forEach((time, i) => {
        const minute = Math.floor(time / MINUTE_MS);
        if (!taken.has(minute)) taken.set(minute, device);
        if (taken.get(minute) === device && time >= since) points.push([time, value[i] ?? 0]);
      });
    }
    points.sort(([a], [b]) => a - b);
    const at = points.map(([time]) => time);
    const value = points.map(([, one]) => one);
    return { userId, from: at, to: at, value, bridgeMs: bridgeOf("raw", { from: at, to: at }) };
  }
}
