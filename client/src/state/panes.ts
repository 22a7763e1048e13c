/** The loaders of the metrics below heart rate: one each, over one view and one store of pictures. */
import type { Span } from "../time/range";
import { type Loaded, Loader } from "./loader";
import { Pictures, type Subject } from "./pictures";

export type PanesLoaded = ReadonlyMap<string, Loaded>;

export class PaneLoaders {
  private readonly pictures = new Pictures();
  private readonly loaders = new Map<string, Loader>();
  private readonly listeners = new Set<() => void>();
  private state: PanesLoaded = new Map();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly loaded = (): PanesLoaded => this.state;

  /** Shows a view of exactly these metrics. */
  look(subject: Subject, metrics: readonly string[], view: Span, latest: number): void {
    for (const [metric, loader] of this.loaders) {
      if (metrics.includes(metric)) continue;
      loader.stop();
      this.loaders.delete(metric);
    }
    for (const metric of metrics) this.loaderOf(metric).look({ ...subject, metric }, view, latest);
    this.tell();
  }

  readonly retry = (metric: string): void => this.loaders.get(metric)?.retry();

  stop(): void {
    for (const loader of this.loaders.values()) loader.stop();
  }

  private loaderOf(metric: string): Loader {
    const there = this.loaders.get(metric);
    if (there) return there;
    const made = new Loader(this.pictures);
    made.subscribe(this.tell);
    this.loaders.set(metric, made);
    return made;
  }

  private readonly tell = (): void => {
    const now = new Map([...this.loaders].map(([metric, loader]) => [metric, loader.loaded()]));
    const same = [...now].every(([metric, loaded]) => this.state.get(metric) === loaded);
    if (same && now.size === this.state.size) return;
    this.state = now;
    for (const listener of this.listeners) listener();
  };
}
