import { describe, expect, it } from "vitest";
import type { Device, Signal } from "../api/types";
import { changeMarkers, deviceMarkers, importMarkers, mayChange, signalMarkers } from "./markers";
import { ruleText, spelledDuration } from "./signals";
import { durationLabel } from "./words";

const at = (text: string) => Date.parse(`2026-11-21T${text}:00Z`);
const device = (id: string, first: string, last: string): Device => ({
  device_id: id,
  readings: 1,
  first_reading: `2026-11-21T${first}:00Z`,
  last_reading: `2026-11-21T${last}:00Z`,
  priority: 999,
  priorities: [],
});

describe("changes of device", () => {
  const devices = [
    { ...device("kept", "00:00", "00:00"), first_reading: null, last_reading: null },
    device("watch", "10:00", "18:00"),
    device("strap", "08:00", "12:00"),
  ];

  it("are where a further device begins, and where one ends before the last", () => {
    expect(deviceMarkers(devices).map(({ start, text }) => [start, text])).toEqual([
      [at("12:00"), "Last reading of strap"],
      [at("10:00"), "First reading of watch"],
    ]);
    expect(deviceMarkers([])).toEqual([]);
  });

  it("are looked for by minutes only where two devices may have been worn", () => {
    expect(mayChange(devices, at("09:00"), at("10:30"))).toBe(true);
    expect(mayChange(devices, at("12:01"), at("13:00"))).toBe(false);
    expect(mayChange(devices, at("08:00"), at("10:00"))).toBe(false);
  });

  it("by minutes are from one to the next with readings", () => {
    const minutes = ["a", "a", "b", "a"].map((id, i) => {
      return { timestamp: `2026-11-21T10:0${2 * i}:00Z`, device_id: id };
    });
    expect(changeMarkers(minutes).map(({ start, text }) => [start, text])).toEqual([
      [at("10:04"), "From a to b"],
      [at("10:06"), "From b to a"],
    ]);
  });
});

describe("imports", () => {
  const origin = (id: number, kind: string | null, name: string | null, readings = 2) => ({
    id,
    kind,
    name,
    received_at: kind && "2026-11-21T20:00:00Z",
    readings,
    first_reading: "2026-11-21T10:00:00Z",
    last_reading: "2026-11-21T12:00:00Z",
  });

  it("are where the readings of a file begin and end, without what others brought", () => {
    const one = origin(4, "import", "Takeout.zip 2026-11-21T20:00:00.000001Z");
    const others = [
      origin(1, "push", "http"),
      origin(2, "sync", "oura/ann"),
      origin(3, null, null),
    ];
    const marks = importMarkers([...others, one], "UTC").map(({ start, text }) => [start, text]);
    expect(marks).toEqual([
      [at("10:00"), "First reading from Takeout.zip, imported 21 Nov 2026"],
      [at("12:00"), "Last reading from Takeout.zip, imported 21 Nov 2026"],
    ]);
    expect(importMarkers([origin(5, "import", "one.csv", 1)], "UTC")).toHaveLength(1);
  });
});

describe("signals", () => {
  const signal: Signal = {
    signal_id: "sig_1",
    metric: "heart_rate",
    above: 120,
    for: "2m",
    user_ids: null,
    cohort: null,
    created_at: "2026-11-21T00:00:00Z",
    raised: [
      { user_id: "ann", start: "2026-11-21T10:00:00Z" },
      { user_id: "bob", start: "2026-11-21T11:00:00Z" },
    ],
    raised_people: 2,
  };

  it("are marked for the person alone of whom they hold, until now", () => {
    const found = signalMarkers([signal], "ann", at("12:00"));
    expect(found.map(({ start, end }) => [start, end])).toEqual([[at("10:00"), at("12:00")]]);
    expect(signalMarkers([signal], "eve", at("12:00"))).toEqual([]);
  });

  it("are told in words", () => {
    const known = { title: "Heart rate", unit: "bpm" };
    expect(ruleText(signal, known)).toBe(`Heart rate above 120 bpm for ${durationLabel(120_000)}`);
    expect(ruleText({ metric: "skin_temperature", below: 30.5 }, null)).toBe(
      "Skin temperature below 30.5",
    );
    expect(ruleText({ metric: "heart_rate", silent_for: "6h" }, known)).toBe(
      `No heart rate for ${durationLabel(6 * 3_600_000)}`,
    );
    expect(spelledDuration("half a day")).toBe("half a day");
  });
});
