import { describe, expect, it } from "vitest";
import { PLAIN_CHART } from "./chartView";
import { formatView, INTRADAY, MAX_PEOPLE, parseView, SUMMARY, type View } from "./url";

const at = (text: string) => Date.parse(text);
const nothing: View = {
  people: null,
  range: null,
  zone: null,
  own: false,
  metric: INTRADAY,
  others: [],
  zones: null,
  chart: PLAIN_CHART,
};

describe("the address", () => {
  const views: [string, View][] = [
    ["nothing chosen yet", nothing],
    ["nobody chosen", { ...nothing, people: [] }],
    ["a preset", { ...nothing, people: ["alice"], range: { kind: "preset", preset: "7d" } }],
    ["other metrics", { ...nothing, others: ["oxygen_saturation", "respiratory_rate"] }],
    ["days and other metrics", { ...nothing, metric: SUMMARY, others: ["hrv_rmssd"] }],
    ["days and zones", { ...nothing, people: ["alice"], metric: SUMMARY, zones: "karvonen" }],
    [
      "a span and a zone",
      {
        ...nothing,
        people: ["a.b_c:d@e+f-g"],
        range: {
          kind: "span",
          span: { start: at("2026-11-21T10:00:00Z"), end: at("2026-11-21T10:00:01.5Z") },
        },
        zone: "America/Argentina/Buenos_Aires",
        chart: PLAIN_CHART,
      },
    ],
    ["last night", { ...nothing, people: ["alice"], range: { kind: "preset", preset: "night" } }],
    [
      "everybody's own clock",
      {
        ...nothing,
        own: true,
        range: {
          kind: "span",
          wall: true,
          span: { start: at("2026-11-21T00:00:00Z"), end: at("2026-11-21T07:00:00.5Z") },
        },
      },
    ],
    [
      "a chart in another way",
      {
        ...nothing,
        people: ["a", "b"],
        chart: {
          resolution: "1s",
          resting: true,
          zones: true,
          marks: ["note", "signal"],
          muted: ["b"],
          table: true,
        },
      },
    ],
    ["no marks", { ...nothing, chart: { ...PLAIN_CHART, marks: [] } }],
  ];
  it.each(views)("survives a round trip: %s", (_name, view) => {
    expect(parseView(formatView(view))).toEqual(view);
  });

  it("can be read by people", () => {
    const range = {
      kind: "span",
      span: { start: at("2026-11-21T10:00:00Z"), end: at("2026-11-21T11:00:00Z") },
    } as const;
    const people = ["alice", "x@y:z"];
    expect(formatView({ ...nothing, people, range, zone: "Europe/Berlin" })).toBe(
      "?people=alice&people=x@y:z&start=2026-11-21T10:00:00Z&end=2026-11-21T11:00:00Z&tz=Europe/Berlin",
    );
    expect(formatView(nothing)).toBe("");
  });

  it("takes nothing that makes no sense", () => {
    expect(parseView("?range=fortnight&tz=Mars/Base").range).toBeNull();
    expect(parseView("?range=fortnight&tz=Mars/Base").zone).toBeNull();
    expect(parseView("?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z").range).toBeNull();
    expect(parseView("?start=2026-01-02T00:00:00Z").range).toBeNull();
    expect(parseView("?start=2026-01-02T00:00:00Z&end=%2B020000-01-01T00:00:00Z").range).toBeNull();
    expect(parseView("?start=1960-01-02T00:00:00Z&end=2026-01-01T00:00:00Z").range).toBeNull();
  });

  it("names each person once, and no more than have a colour", () => {
    expect(parseView("?people=a&people=b&people=a&people=a%20b&people=").people).toEqual([
      "a",
      "b",
    ]);
    const many = Array.from({ length: 20 }, (_, i) => `people=p${i}`).join("&");
    expect(parseView(`?${many}`).people).toHaveLength(MAX_PEOPLE);
  });
});

describe("metrics in the address", () => {
  it("may be repeated or listed, once each, and heart rate is always there", () => {
    const listed = "?metric=heart_rate,oxygen-saturation&metric=hrv_rmssd&metric=hrv_rmssd,<b>";
    expect(parseView(listed).others).toEqual(["oxygen_saturation", "hrv_rmssd"]);
    expect(parseView(listed).metric).toBe(INTRADAY);
    expect(parseView("?metric=activities_heart_intraday").others).toEqual([]);
    expect(formatView(nothing)).toBe("");
  });
});
