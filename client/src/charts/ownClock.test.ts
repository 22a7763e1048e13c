import { expect, it } from "vitest";
import { onOwnClock } from "./ownClock";
import { toTrack } from "./tracks";

const HOUR = 3_600_000;
const at = (text: string) => Date.parse(text);

function hours(first: string, values: number[]) {
  const start = at(first);
  const timestamp = values.map((_, i) => new Date(start + i * HOUR).toISOString());
  const count = values.map((_, i) => 1 + i);
  const columns = { timestamp, avg: values, min: values, max: values, count };
  const series = { user_id: "ann", count: values.length, columns } as never;
  return toTrack(series, "1h", "Europe/Berlin", { start, end: start + values.length * HOUR });
}

it("times are those of the wall clock", () => {
  const track = onOwnClock(hours("2026-11-21T10:00:00Z", [60, 62]), "1h", "Europe/Berlin");
  expect([...track.from]).toEqual([at("2026-11-21T11:00:00Z"), at("2026-11-21T12:00:00Z")]);
  expect(track.x[0]).toBe(at("2026-11-21T11:30:00Z"));
});

it("an hour that comes twice holds the readings of both, and one that is skipped leaves no gap", () => {
  const autumn = onOwnClock(hours("2026-10-24T23:00:00Z", [60, 70, 90, 80]), "1h", "Europe/Berlin");
  expect([...autumn.from].map((one) => new Date(one).getUTCHours())).toEqual([1, 2, 3]);
  expect([...autumn.count]).toEqual([1, 5, 4]);
  expect(autumn.value[1]).toBe((70 * 2 + 90 * 3) / 5);
  expect([autumn.low[1], autumn.high[1]]).toEqual([70, 90]);
  expect([...autumn.to].every((to, i) => to > (autumn.from[i] ?? to))).toBe(true);
  const spring = onOwnClock(hours("2026-03-29T00:00:00Z", [60, 70]), "1h", "Europe/Berlin");
  expect([...spring.from].map((one) => new Date(one).getUTCHours())).toEqual([1, 3]);
  expect(spring.to[0]).toBe(spring.from[1]);
});
