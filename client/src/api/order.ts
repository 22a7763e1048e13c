/**
 * In which order the server is asked. A browser has few connections to it, and it answers many questions at once no
 * sooner than one after another: so what a reader waits for goes first, and the rest follows its answer.
 */

/** The rest waits no longer than this. */
const LONGEST_MS = 500;

let charts = 0;
const waiting = new Set<() => void>();

/** A chart without a picture is being asked for, until `done` is called. */
export function chartAsked(): () => void {
  charts += 1;
  let over = false;
  return () => {
    if (over) return;
    over = true;
    charts -= 1;
    if (charts > 0) return;
    for (const go of waiting) go();
    waiting.clear();
  };
}

/** Comes once no chart without a picture is being asked for, which those that are drawn now begin with. */
export async function afterCharts(signal: AbortSignal): Promise<void> {
  await new Promise((begun) => window.setTimeout(begun, 0));
  if (charts > 0) {
    await new Promise<void>((go) => {
      waiting.add(go);
      window.setTimeout(() => waiting.delete(go) && go(), LONGEST_MS);
    });
  }
  signal.throwIfAborted();
}
