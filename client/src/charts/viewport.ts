/** What is in view, many times a second: kept beside React, which is told when it has come to rest. */
import { useSyncExternalStore } from "react";
import type { Span } from "../time/range";

export class Viewport {
  private readonly listeners = new Set<() => void>();
  private readonly resting = new Set<() => void>();
  /** What is in view right now. */
  span: Span;
  /** What was in view when it last came to rest. */
  rested: Span;
  moving = false;

  constructor(span: Span) {
    this.span = span;
    this.rested = span;
  }

  /** Told of every move. */
  onMove(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Told when a move has ended. */
  readonly onRest = (listener: () => void): (() => void) => {
    this.resting.add(listener);
    return () => this.resting.delete(listener);
  };

  /** Shows another span in the middle of a gesture. */
  move(span: Span): void {
    this.moving = true;
    this.span = span;
    for (const listener of this.listeners) listener();
  }

  /** Shows a span to stay. */
  rest(span: Span): void {
    const same = (a: Span, b: Span) => a.start === b.start && a.end === b.end;
    const moved = !same(this.span, span);
    this.moving = false;
    this.span = span;
    if (moved) for (const listener of this.listeners) listener();
    if (same(this.rested, span)) return;
    this.rested = span;
    for (const listener of this.resting) listener();
  }
}

export function useRested(viewport: Viewport): Span {
  return useSyncExternalStore(viewport.onRest, () => viewport.rested);
}
