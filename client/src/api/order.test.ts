import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { afterCharts, chartAsked } from "./order";

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", globalThis);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function waits(signal = new AbortController().signal) {
  const told = vi.fn();
  afterCharts(signal).then(
    () => told("comes"),
    () => told("is given up"),
  );
  return told;
}

test("without a chart, nothing waits for more than what is drawn with it", async () => {
  const told = waits();
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toHaveBeenCalledWith("comes");
});

test("what can wait goes after all charts, also those that are asked for after it", async () => {
  const told = waits();
  const first = chartAsked();
  const second = chartAsked();
  await vi.advanceTimersByTimeAsync(100);
  first();
  first();
  await vi.advanceTimersByTimeAsync(100);
  expect(told).not.toHaveBeenCalled();
  second();
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toHaveBeenCalledWith("comes");
});

test("a chart that takes long holds up the rest for half a second", async () => {
  const done = chartAsked();
  const told = waits();
  await vi.advanceTimersByTimeAsync(499);
  expect(told).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(2);
  expect(told).toHaveBeenCalledWith("comes");
  done();
});

test("what nobody wants any more is not asked for", async () => {
  const done = chartAsked();
  const control = new AbortController();
  const told = waits(control.signal);
  await vi.advanceTimersByTimeAsync(10);
  control.abort();
  done();
  await vi.advanceTimersByTimeAsync(0);
  expect(told).toHaveBeenCalledWith("is given up");
});
