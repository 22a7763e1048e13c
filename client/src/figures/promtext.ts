/** The Prometheus text format, as much of it as the system page reads. */

export interface Sample {
  labels: Readonly<Record<string, string>>;
  value: number;
}

const WORKER = "worker";

export type Samples = ReadonlyMap<string, readonly Sample[]>;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** The samples by name. What several workers of a server tell of the same is added up. */
export function parseSamples(text: string): Samples {
  const found = new Map<string, Sample[]>();
  const byLabels = new Map<string, Sample>();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const [, name = "", labels = "", value = ""] = match;
    const pairs = [...labels.matchAll(LABEL)].map(([, key = "", text = ""]) => [
      key,
      text.replace(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter)),
    ]);
    const own = pairs.filter(([key]) => key !== WORKER);
    const key = JSON.stringify([name, own]);
    const told = byLabels.get(key);
    if (told) {
      told.value += Number(value);
      continue;
    }
    const sample = { labels: Object.fromEntries(own), value: Number(value) };
    byLabels.set(key, sample);
    found.set(name, [...(found.get(name) ?? []), sample]);
  }
  return found;
}

/** All samples of a name added up; null where there are none. */
export function totalOf(samples: Samples, name: string): number | null {
  return samples.get(name)?.reduce((sum, one) => sum + one.value, 0) ?? null;
}

/** How much of a counter came a second between two readings of it; none across a restart. */
export function ratePerSecond(
  before: { at: number; value: number },
  now: { at: number; value: number },
): number | null {
  const seconds = (now.at - before.at) / 1000;
  return seconds > 0 && now.value >= before.value ? (now.value - before.value) / seconds : null;
}
