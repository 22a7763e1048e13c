import { describe, expect, it } from "vitest";
import { type Marker, markersAt, nextMarker, placedMarkers, reachMs } from "./markers";

const moment = (start: number, kind: Marker["kind"] = "note"): Marker => {
  return { id: `${kind}${start}`, kind, start, end: null, text: "" };
};
const stretch = (start: number, end: number): Marker => ({ ...moment(start), end });
const span = { start: 0, end: 1000 };

describe("markers on a plot", () => {
  it("are put where they are, and those too close to be told apart are counted", () => {
    const markers = [moment(905), moment(100), moment(900), moment(902, "device"), moment(1000)];
    expect(placedMarkers(markers, span, 500).flags).toEqual([
      { kind: "note", at: 50, count: 1 },
      { kind: "note", at: 450, count: 2 },
      { kind: "device", at: 451, count: 1 },
    ]);
  });

  it("are cut to the view, and never too narrow to be seen", () => {
    const markers = [stretch(-500, 100), stretch(400, 401), stretch(2000, 3000), stretch(-9, 0)];
    expect(placedMarkers(markers, span, 500).bands).toEqual([
      { kind: "note", left: 0, right: 50 },
      { kind: "note", left: 200, right: 203 },
    ]);
  });

  it("are pointed at within reach, moments before the stretches around them", () => {
    const [long, short] = [stretch(0, 900), stretch(490, 600)];
    const markers = [long, short, moment(505), moment(499), moment(520)];
    const reach = reachMs(span, 500);
    expect(markersAt(markers, 500, reach)).toEqual([moment(499), moment(505), short, long]);
    expect(markersAt(markers, 950, reach)).toEqual([]);
  });

  it("are gone through in the order of their times", () => {
    const markers = [moment(700), stretch(-100, 50), moment(300)];
    const from = (instant: number | null, by: -1 | 1) => nextMarker(markers, instant, by, span);
    expect([from(null, 1), from(0, 1), from(300, 1), from(700, 1)]).toEqual([0, 300, 700, null]);
    expect([from(null, -1), from(700, -1), from(300, -1), from(0, -1)]).toEqual([
      700,
      300,
      0,
      null,
    ]);
  });
});
