/**
 * How the chart is looked at, as the address says it:
 *   &resolution=1m           instead of what the server chooses by the number of points
 *   &layers=resting,zones    what is drawn beside the readings
 *   &muted=a&muted=b         people whose lines are hidden
 *   &marks=note,signal       of all kinds of marks these alone; none of them: none
 *   &as=table                the table in place of the picture
 */
import { MARKER_KINDS, type MarkerKind } from "../charts/markers";

export const RUNGS = ["raw", "1s", "1m", "15m", "1h", "1d"] as const;
export type Rung = (typeof RUNGS)[number];

export interface ChartView {
  /** null: the server chooses. */
  resolution: Rung | null;
  resting: boolean;
  zones: boolean;
  /** Which kinds of marks are shown on the chart of one person. */
  marks: readonly MarkerKind[];
  muted: readonly string[];
  table: boolean;
}

const NO_MARKS = "none";

export const PLAIN_CHART: ChartView = {
  resolution: null,
  resting: false,
  zones: false,
  marks: MARKER_KINDS,
  muted: [],
  table: false,
};

export function parseChart(params: URLSearchParams): ChartView {
  const layers = (params.get("layers") ?? "").split(",");
  const marks = params.get("marks")?.split(",") ?? MARKER_KINDS;
  return {
    resolution: RUNGS.find((rung) => rung === params.get("resolution")) ?? null,
    resting: layers.includes("resting"),
    zones: layers.includes("zones"),
    marks: MARKER_KINDS.filter((kind) => marks.includes(kind)),
    muted: params.getAll("muted"),
    table: params.get("as") === "table",
  };
}

export function writeChart(params: URLSearchParams, chart: ChartView): void {
  const layers = (["resting", "zones"] as const).filter((layer) => chart[layer]);
  if (chart.resolution !== null) params.set("resolution", chart.resolution);
  if (layers.length > 0) params.set("layers", layers.join(","));
  if (chart.marks.length < MARKER_KINDS.length) {
    params.set("marks", chart.marks.join(",") || NO_MARKS);
  }
  for (const id of chart.muted) params.append("muted", id);
  if (chart.table) params.set("as", "table");
}
