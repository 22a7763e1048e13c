import { expect, it } from "vitest";
import { offered } from "./useMetrics";

const record = (metric: string) => ({ metric, title: metric, unit: "", min: 0, max: 1 });
const all = ["heart_rate", "oxygen_saturation", "respiratory_rate", "hrv_rmssd"].map(record);

it("offers what somebody has beside heart rate, and what is chosen, in the server's order", () => {
  const had = new Set(["hrv_rmssd", "heart_rate"]);
  expect(offered(all, had, []).map((one) => one.metric)).toEqual(["hrv_rmssd"]);
  const chosen = offered(all, had, ["respiratory_rate", "unknown"]).map((one) => one.metric);
  expect(chosen).toEqual(["respiratory_rate", "hrv_rmssd"]);
  expect(offered(all, new Set(), [])).toEqual([]);
});
