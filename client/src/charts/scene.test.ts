import { describe, expect, it } from "vitest";
import { buildPyramid } from "./pyramid";
import { NO_LAYERS, plotOf, sceneOf } from "./scene";
import type { Track } from "./tracks";

const HOUR = 3_600_000;
const x = Float64Array.from([0, 1, 2, 3], (hour) => hour * HOUR);
const value = Float64Array.from([60, 80, 70, 65]);
const track: Track = {
  userId: "a",
  raw: false,
  bridgeMs: 0,
  x,
  from: x,
  to: x.map((at) => at + HOUR),
  value,
  low: value.map((one) => one - 10),
  high: value.map((one) => one + 15),
  count: value.map(() => 1),
};
const input = {
  lines: [{ userId: "a", colour: "#0072b2", pyramid: buildPyramid(track) }],
  layers: NO_LAYERS,
  span: { start: 0, end: 4 * HOUR },
  zone: "UTC",
  size: { width: 456, height: 254 },
  locale: "en-GB",
};

describe("a scene", () => {
  const scene = sceneOf(input);

  it("fits its plot into the room the axes leave", () => {
    expect(scene.plot).toEqual({ left: 42, top: 12, width: 400, height: 200 });
    expect(plotOf({ width: 1, height: 1 }).width).toBe(1);
  });

  it("without texts at the time axis has as high a plot in less room, and its marks in place", () => {
    const bare = sceneOf({ ...input, size: { width: 456, height: 224 }, bare: true });
    expect(bare.plot).toEqual(scene.plot);
    expect(bare.timeMarks.map((mark) => mark.at)).toEqual(scene.timeMarks.map((mark) => mark.at));
    expect(new Set(bare.timeMarks.map((mark) => mark.text))).toEqual(new Set([""]));
  });

  it("takes the height from the band, not from the line alone", () => {
    expect(scene.values).toEqual([40, 100]);
    const [first] = scene.valueMarks;
    expect(first).toEqual({ at: 200, text: "40" });
  });

  it("puts marks where their instants are", () => {
    expect(scene.timeMarks.map((mark) => mark.text)).toEqual([
      "00:00\n1 Jan 1970",
      "01:00",
      "02:00",
      "03:00",
      "04:00",
    ]);
    expect(scene.timeMarks.map((mark) => mark.at)).toEqual([0, 100, 200, 300, 400]);
  });

  it("cuts layers to what is in view, in the person's colour, and makes room for them", () => {
    const resting = [
      { userId: "a", value: 32, start: -HOUR, end: HOUR },
      { userId: "muted", value: 20, start: 0, end: HOUR },
      { userId: "a", value: 10, start: 9 * HOUR, end: 10 * HOUR },
    ];
    const zones = [
      { name: "Below", min: 0, max: 10 },
      { name: "Fat Burn", min: 60, max: 300 },
    ];
    const layered = sceneOf({ ...input, layers: { ...NO_LAYERS, resting, zones } });
    expect(layered.values).toEqual([30, 100]);
    expect(layered.resting).toHaveLength(1);
    expect(layered.resting[0]).toMatchObject({ colour: "#0072b2", left: 0, right: 100 });
    expect(layered.zones.map(({ name, top }) => [name, top])).toEqual([["Fat Burn", 0]]);
  });
});
