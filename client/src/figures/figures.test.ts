import { describe, expect, it } from "vitest";
import { dotScale, timeTicks, valueTicks } from "./axis";
import { cohortCsv, daysCsv, metricsCsv, seriesCsv } from "./csv";
import { daysOf, minutesIn, restingFigures, restingLine, zoneNames } from "./days";
import { gapRung, gapsOf } from "./gaps";
import { heightOf, type Line, piecesOf, pointAt } from "./line";
import { parseSamples, ratePerSecond, totalOf } from "./promtext";
import { sparkOf } from "./spark";

const MINUTE = 60_000;

/** Minute buckets at these minutes, with these averages. */
function line(minutes: number[], value = minutes.map(() => 60)): Line {
  const from = minutes.map((minute) => minute * MINUTE);
  return { userId: "ann", from, to: from.map((start) => start + MINUTE), value, bridgeMs: 0 };
}

/** The same as a chart has them. */
function series(minutes: number[], value: number[]) {
  const base = line(minutes, value);
  return { ...base, raw: false, low: value, high: value, count: minutes.map(() => 6) };
}

const zonePart = (name: string, min: number, minutes: number) => {
  return { name, min, max: min + 20, minutes, caloriesOut: null };
};

describe("days", () => {
  const columns = {
    date: ["2026-03-29", "2026-03-28", "2026-03-28"],
    resting_heart_rate: [58, null, 61],
    resting_heart_rate_method: ["fitbit", "zones-age", "fitbit"],
    heart_rate_zones: [
      [zonePart("Peak", 150, 4), zonePart("Low", 30, 900)],
      [zonePart("Own", 90, 7)],
      [zonePart("Low", 30, 800)],
    ],
    custom_heart_rate_zones: [[], [], []],
  };

  it("come once each, in order, with the zones that were asked for", () => {
    const days = daysOf(columns, "Europe/Berlin", null);
    expect(days.map((day) => [day.date, day.resting])).toEqual([
      ["2026-03-28", 61],
      ["2026-03-29", 58],
    ]);
    // The second one is the day of 23 hours.
    expect(days.map((day) => (day.end - day.start) / 3_600_000)).toEqual([24, 23]);
    expect(zoneNames(days)).toEqual(["Low", "Peak"]);
    expect(days.map((day) => minutesIn(day, "Peak"))).toEqual([0, 4]);
    expect(zoneNames(daysOf(columns, "Europe/Berlin", "zones-age"))).toEqual(["Own"]);
  });

  it("have a line and figures", () => {
    const days = daysOf(columns, "UTC", null);
    expect(restingLine("ann", days).value).toEqual([61, 58]);
    expect(restingFigures(days)).toEqual({ latest: 58, average: 59.5, low: 58, high: 61, days: 2 });
    expect(restingFigures([])).toBeNull();
  });

  it("are written as CSV", () => {
    const text = daysCsv([{ userId: "ann", days: daysOf(columns, "UTC", null) }]);
    expect(text.split("\r\n")).toEqual([
      "user_id,date,resting_heart_rate,Low minutes,Peak minutes",
      "ann,2026-03-28,61,800,",
      "ann,2026-03-29,58,900,4",
      "",
    ]);
  });
});

it("a cohort is written as CSV with its metric, unit and period", () => {
  const member = { user_id: "=ann", avg: 91.25, count: 4, minutes: 3, coverage: 0.05 };
  const span = {
    start: Date.parse("2026-03-01T00:00:00Z"),
    end: Date.parse("2026-03-02T00:00:00Z"),
  };
  const row = { member, name: "Ann, A.", gender: "female", age: 35, coverage: 0.5 };
  const text = cohortCsv({ metric: "oxygen_saturation", unit: "%" }, span, [row]);
  expect(text.split("\r\n")).toEqual([
    "user_id,name,gender,age,metric,unit,start,end,avg,count,minutes,coverage,coverage_of_own_time",
    '\'=ann,"Ann, A.",female,35,oxygen_saturation,%,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,91.25,4,3,0.05,0.5',
    "",
  ]);
});

it("a scale of dots has round ends around what is shown", () => {
  expect(dotScale([130.3, 143.7])).toEqual([130, 150]);
  expect(dotScale([120, 120])).toEqual([120, 130]);
});

describe("gaps", () => {
  const span = { start: 0, end: 20 * MINUTE };
  const minutes = (gaps: { start: number; end: number }[]) =>
    gaps.map((gap) => [gap.start / MINUTE, gap.end / MINUTE]);

  it("lie between points and at both ends, the longest first", () => {
    expect(minutes(gapsOf(line([2, 3, 4, 10, 11]), span, 0))).toEqual([
      [12, 20],
      [5, 10],
      [0, 2],
    ]);
    expect(minutes(gapsOf(line([]), span, 0))).toEqual([[0, 20]]);
  });

  it("are longer than what is bridged", () => {
    expect(minutes(gapsOf(line([0, 3, 10]), span, 2 * MINUTE))).toEqual([
      [11, 20],
      [4, 10],
    ]);
  });

  it("are sought by minutes in up to a month, whatever the screen is", () => {
    expect([1, 31, 90, 800, 5000].map((days) => gapRung(days * 1440 * MINUTE))).toEqual([
      "1m",
      "1m",
      "15m",
      "1h",
      "1d",
    ]);
  });

  it("are cut to the span", () => {
    expect(minutes(gapsOf(line([0, 30]), { start: 0, end: 10 * MINUTE }, 0))).toEqual([[1, 10]]);
  });
});

describe("CSV", () => {
  it("holds no formula, whatever people and zones are called", () => {
    const zone = { min: null, max: null, minutes: 3 };
    const day = { date: "2024-01-15", resting: -1.5, zones: [{ ...zone, name: "=1+1" }] };
    for (const userId of ["@sum", "+1", "-1", "=cmd", "\tx"]) {
      const text = daysCsv([{ userId, days: [day as never] }]);
      expect(text).toBe(
        `user_id,date,resting_heart_rate,'=1+1 minutes\r\n'${userId},2024-01-15,-1.5,3\r\n`,
      );
    }
  });

  it("has a row a bucket, or a row a reading", () => {
    expect(
      seriesCsv([series([0, 1, 2], [50, 60.25, 70])], { start: MINUTE, end: 2 * MINUTE }),
    ).toBe(
      "user_id,start,end,avg,min,max,count\r\n" +
        "ann,1970-01-01T00:01:00Z,1970-01-01T00:02:00Z,60.25,60.25,60.25,6\r\n",
    );
    const raw = { ...series([1], [60]), raw: true, userId: 'a"b' };
    expect(seriesCsv([raw], { start: 0, end: 2 * MINUTE })).toBe(
      'user_id,timestamp,value\r\n"a""b",1970-01-01T00:01:00Z,60\r\n',
    );
  });
});

describe("CSV of several metrics", () => {
  it("says of each row which metric it is, in which unit", () => {
    const tracks = [series([0, 1], [96.5, 97])];
    const reading = { ...series([1], [14]), to: [MINUTE], count: [1], raw: true };
    const all = [
      { metric: "oxygen_saturation", unit: "%", tracks },
      { metric: "respiratory_rate", unit: "breaths/min", tracks: [reading] },
    ];
    expect(metricsCsv(all, { start: MINUTE, end: 2 * MINUTE })).toBe(
      "user_id,metric,unit,start,end,avg,min,max,count\r\n" +
        "ann,oxygen_saturation,%,1970-01-01T00:01:00Z,1970-01-01T00:02:00Z,97,97,97,6\r\n" +
        "ann,respiratory_rate,breaths/min,1970-01-01T00:01:00Z,1970-01-01T00:01:00Z,14,14,14,1\r\n",
    );
  });
});

describe("a small chart", () => {
  const span = { start: 0, end: 10 * MINUTE };
  it("breaks where readings are missing and dots what stands alone", () => {
    expect(sparkOf(line([0, 1, 5], [60, 70, 80]), span, 100, 20)?.path).toBe(
      "M5.0 19.0L15.0 10.0M55.0 1.0m0 -2.5v5",
    );
    expect(sparkOf(line([0]), span, 100, 20)?.path).toBe("M5.0 10.0m0 -2.5v5");
    expect(sparkOf(line([]), span, 100, 20)).toBeNull();
  });
});

describe("a plain chart", () => {
  const hour = 60 * MINUTE;

  it("keeps gaps, and knows which point speaks of an instant", () => {
    const some = line([0, 1, 5]);
    expect(piecesOf(some, { start: 0, end: hour })).toEqual([
      [MINUTE / 2, 1.5 * MINUTE],
      [5.5 * MINUTE, 5.5 * MINUTE],
    ]);
    expect(pointAt(some, 1.2 * MINUTE)).toBe(1);
    expect(pointAt(some, 3 * MINUTE)).toBeNull();
    expect(pointAt({ ...some, to: some.from, bridgeMs: MINUTE }, 4.6 * MINUTE)).toBe(2);
  });

  it("is high enough that noise does not look like news", () => {
    expect(heightOf([line([0, 1], [70, 71])], { start: 0, end: hour })).toEqual({
      start: 50,
      end: 90,
    });
    expect(heightOf([line([0, 90], [70, 171])], { start: 0, end: hour }).end).toBe(90);
  });

  it("has ticks on the zone's round hours and midnights", () => {
    const start = Date.parse("2026-03-28T20:10:00Z");
    const kathmandu = timeTicks({ start, end: start + 5 * hour }, 3, "Asia/Kathmandu");
    expect(kathmandu.at.map((at) => new Date(at).toISOString().slice(11, 16))).toEqual([
      "21:15",
      "00:15",
    ]);
    const spring = timeTicks({ start, end: start + 96 * hour }, 4, "Europe/Berlin");
    expect(spring.at.map((at) => new Date(at).toISOString().slice(8, 16))).toEqual([
      "28T23:00",
      "29T22:00",
      "30T22:00",
      "31T22:00",
    ]);
    expect(valueTicks({ start: 40, end: 120 }, 4)).toEqual([40, 60, 80, 100, 120]);
  });
});

describe("metrics", () => {
  const text = [
    "# HELP x_total X.",
    'x_total{source="http",kind="a\\"b"} 3.0',
    'x_total{source="bulk"} 4e+06',
    "y 1.5",
  ].join("\n");

  it("are read with their labels", () => {
    const samples = parseSamples(text);
    expect(samples.get("x_total")?.[0]).toEqual({
      labels: { source: "http", kind: 'a"b' },
      value: 3,
    });
    expect(totalOf(samples, "x_total")).toBe(4_000_003);
    expect(totalOf(samples, "y")).toBe(1.5);
    expect(totalOf(samples, "z")).toBeNull();
  });

  it("are added up where several workers tell them", () => {
    const samples = parseSamples(
      'x_total{source="http",worker="1"} 3\nx_total{source="http",worker="2"} 4\nx_total{source="file",worker="2"} 1',
    );
    expect(samples.get("x_total")).toEqual([
      { labels: { source: "http" }, value: 7 },
      { labels: { source: "file" }, value: 1 },
    ]);
  });

  it("give rates, except across a restart", () => {
    expect(ratePerSecond({ at: 0, value: 10 }, { at: 2000, value: 30 })).toBe(10);
    expect(ratePerSecond({ at: 0, value: 10 }, { at: 2000, value: 3 })).toBeNull();
  });
});
