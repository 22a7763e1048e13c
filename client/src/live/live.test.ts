import { describe, expect, it } from "vitest";
import { LiveBuffer } from "./buffer";
import { EventParser } from "./events";
import { readSignalEvent } from "./useSignalEvents";

const at = (second: number) => new Date(second * 1000).toISOString();
const readings = (device: string, ...rows: [number, number, (number | null)?][]) => ({
  timestamp: rows.map(([second]) => at(second)),
  value: rows.map(([, value]) => value),
  device_id: rows.map(() => device),
  confidence: rows.map(([, , confidence]) => confidence ?? null),
});
const seen = (buffer: LiveBuffer, priorities: [string, number][] = [], since = 0) => {
  const line = buffer.line("ann", since, new Map(priorities));
  return line.from.map((at, i) => [at / 1000, line.value[i]]);
};

describe("events", () => {
  it("are whole, however the stream is cut", () => {
    const text =
      ": still here\n\nid: a-1\nevent: readings\ndata: {}\n\nevent: dropped\ndata: 1\n\nid: 2";
    const whole = [
      { id: "a-1", kind: "readings", data: "{}" },
      { id: null, kind: "dropped", data: "1" },
    ];
    for (const size of [1, 7, text.length]) {
      const parser = new EventParser();
      const found = [];
      for (let i = 0; i < text.length; i += size)
        found.push(...parser.push(text.slice(i, i + size)));
      expect(found).toEqual(whole);
    }
  });
});

describe("the last minutes", () => {
  it("take readings in any order, the last of a time holds, confidence 0 takes away", () => {
    const buffer = new LiveBuffer();
    buffer.add("ann", readings("strap", [5, 65], [3, 63], [4, 64]));
    buffer.add("ann", readings("strap", [4, 70], [5, 65, 0], [6, 66, 1]));
    buffer.add("ann", readings("strap", [9, 69, 0]));
    expect(seen(buffer)).toEqual([
      [3, 63],
      [4, 70],
      [6, 66],
    ]);
  });

  it("show in each minute the device that is believed first", () => {
    const buffer = new LiveBuffer();
    buffer.add("ann", readings("watch", [10, 80], [70, 81]));
    buffer.add("ann", readings("strap", [20, 60], [21, 61]));
    const priorities: [string, number][] = [["strap", 1]];
    expect(seen(buffer, priorities)).toEqual([
      [20, 60],
      [21, 61],
      [70, 81],
    ]);
    expect(seen(buffer, [["watch", 0], ...priorities])).toEqual([
      [10, 80],
      [70, 81],
    ]);
    // The minute's device is found from all of the minute, whatever part of it is shown.
    expect(seen(buffer, priorities, 21_000)).toEqual([
      [21, 61],
      [70, 81],
    ]);
  });

  it("forget whole minutes", () => {
    const buffer = new LiveBuffer();
    buffer.add("ann", readings("strap", [10, 60], [70, 61], [130, 62]));
    buffer.forgetBefore(100_000);
    expect(seen(buffer).map(([second]) => second)).toEqual([70, 130]);
    buffer.clear("ann");
    expect(seen(buffer)).toEqual([]);
  });
});

describe("events of signals", () => {
  it("have their rule, and the end and the reason of what was cleared", () => {
    const data = { user_id: "ann", signal_id: "s", metric: "heart_rate", above: 120, for: "2m" };
    const start = "2026-11-21T10:00:00Z";
    const event = (kind: string, more: object) => ({
      id: "7",
      kind,
      data: JSON.stringify({ type: kind, data: { ...data, start, ...more } }),
    });
    expect(readSignalEvent(event("signal.raised", {}))).toMatchObject({
      kind: "signal.raised",
      userId: "ann",
      rule: { metric: "heart_rate", above: 120, for: "2m" },
      end: null,
      reason: null,
    });
    const ended = { end: "2026-11-21T11:00:00Z", reason: "withdrawn" };
    expect(readSignalEvent(event("signal.cleared", ended))).toMatchObject({ start, ...ended });
    expect(readSignalEvent({ id: "0", kind: "hello", data: "{}" })).toBeNull();
  });
});
