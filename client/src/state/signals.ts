/** Making and removing signals, and what is typed for a new one. */
import { change } from "../api/change";
import type { NewSignal } from "../api/types";

export type Condition = "above" | "below" | "silent_for";

/** As it is typed. */
export interface SignalForm {
  metric: string;
  condition: Condition;
  /** A value for `above` and `below`, a length of time for `silent_for`. */
  bound: string;
  /** How long it has to hold, as `10m`. */
  length: string;
  /** Ids, apart from each other by commas or blanks; nobody: everybody. */
  people: string;
}

export const FIRST_SIGNAL: SignalForm = {
  metric: "heart_rate",
  condition: "above",
  bound: "",
  length: "10m",
  people: "",
};

/** A number and a unit, as the server reads lengths of time. */
const LENGTH = /^\d{1,6}[smhd]$/;

export function idsIn(text: string): string[] {
  return [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
}

/** What is to be asked of the server, or what is wrong with what is typed. */
export function readSignal(form: SignalForm): NewSignal | string {
  const bound = form.bound.trim();
  const ids = idsIn(form.people);
  const whom = ids.length > 0 ? { user_ids: ids } : {};
  if (form.condition === "silent_for") {
    return LENGTH.test(bound)
      ? { metric: form.metric, silent_for: bound, ...whom }
      : "Without a reading for how long? A number and a unit, as 30m, 6h or 2d.";
  }
  const value = Number(bound.replace(",", "."));
  if (bound === "" || !Number.isFinite(value)) return "Above or below which value?";
  const length = form.length.trim();
  if (!LENGTH.test(length)) return "For how long? A number and a unit, as 10m or 2h.";
  return { metric: form.metric, [form.condition]: value, for: length, ...whom };
}

export async function makeSignal(wanted: NewSignal, signal: AbortSignal): Promise<void> {
  await change("POST", "/v1/signals", signal, {}, wanted);
}

export async function removeSignal(id: string, signal: AbortSignal): Promise<void> {
  await change("DELETE", "/v1/signals/{signal_id}", signal, { signal_id: id });
}
