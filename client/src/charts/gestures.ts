/** Mouse, wheel and fingers on the chart, told in fractions of its width. */
import type { Span } from "../time/range";
import { type Fingers, panned, pinched, wheelFactor, zoomed } from "./motion";
import type { Viewport } from "./viewport";

/** A wheel has come to rest after so long without a turn. */
const WHEEL_REST_MS = 180;
/** Below this many CSS pixels a drag is a click. */
const MIN_DRAG_PX = 4;

export interface GestureHost {
  viewport: Viewport;
  /** The plot's left edge and width on the element, in CSS pixels. */
  plot: () => { left: number; width: number };
  /** How late there may be something to see. */
  latest: () => number;
  /** The move has ended here; it had begun from the other span. */
  onRest: (span: Span, from: Span) => void;
  /** A stretch is being marked, as two fractions; null when that is over. */
  onMark: (ends: Fingers | null) => void;
  onMarked: (span: Span) => void;
  /** The cursor is over an instant; null when it has left. */
  onHover: (instant: number | null) => void;
  onDoubleClick: () => void;
  /** The plot was tapped or clicked at an instant, so far below the element's top edge. */
  onTap: (instant: number, y: number) => void;
}

type Held =
  | { kind: "pan"; from: Span; x: number; moved: boolean }
  | { kind: "pinch"; from: Span; before: Fingers }
  | { kind: "mark"; x: number };

class Gestures {
  private readonly fingers = new Map<number, number>();
  private held: Held | null = null;
  /** What was in view before all of this began. */
  private origin: Span | null = null;
  private wheelRest = 0;

  constructor(
    private readonly element: HTMLElement,
    private readonly host: GestureHost,
  ) {}

  private fraction(clientX: number): number {
    const { left, width } = this.host.plot();
    return (clientX - this.element.getBoundingClientRect().left - left) / width;
  }

  private instant(fraction: number): number {
    const { start, end } = this.host.viewport.span;
    return start + fraction * (end - start);
  }

  private begin(): Span {
    window.clearTimeout(this.wheelRest);
    const { span } = this.host.viewport;
    this.origin ??= span;
    return span;
  }

  private finish(): void {
    window.clearTimeout(this.wheelRest);
    const { origin, host } = this;
    this.origin = null;
    this.held = null;
    if (origin && host.viewport.moving) host.onRest(host.viewport.span, origin);
  }

  private twoFingers(): Fingers | null {
    const [a, b] = this.fingers.values();
    return a === undefined || b === undefined ? null : [a, b];
  }

  /** Takes hold with what is down: one finger pans, two pinch. */
  private hold(): void {
    const from = this.begin();
    const two = this.twoFingers();
    const [x = 0] = this.fingers.values();
    this.held = two ? { kind: "pinch", from, before: two } : { kind: "pan", from, x, moved: false };
  }

  readonly down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    const x = this.fraction(event.clientX);
    this.fingers.set(event.pointerId, x);
    this.element.setPointerCapture(event.pointerId);
    if (event.pointerType === "mouse" && event.shiftKey) {
      this.begin();
      this.held = { kind: "mark", x };
    } else this.hold();
  };

  readonly move = (event: PointerEvent): void => {
    const { host, held } = this;
    const x = this.fraction(event.clientX);
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, x);
    if (!held) {
      host.onHover(x >= 0 && x <= 1 ? this.instant(x) : null);
      return;
    }
    if (held.kind === "mark") host.onMark([held.x, x]);
    else if (held.kind === "pinch") {
      const after = this.twoFingers();
      if (after) host.viewport.move(pinched(held.from, held.before, after, host.latest()));
    } else {
      held.moved ||= Math.abs(x - held.x) * host.plot().width >= MIN_DRAG_PX;
      if (!held.moved) return;
      const byMs = (held.x - x) * (held.from.end - held.from.start);
      host.onHover(null);
      host.viewport.move(panned(held.from, byMs, host.latest()));
    }
  };

  readonly up = (event: PointerEvent): void => {
    if (!this.fingers.delete(event.pointerId)) return;
    const { held, host } = this;
    const x = this.fraction(event.clientX);
    if (held?.kind === "mark") {
      host.onMark(null);
      const far = Math.abs(x - held.x) * host.plot().width >= MIN_DRAG_PX;
      this.origin = this.held = null;
      const [a, b] = [this.instant(Math.min(held.x, x)), this.instant(Math.max(held.x, x))];
      if (far && event.type === "pointerup") host.onMarked({ start: a, end: b });
      return;
    }
    // The finger that stays goes on from where it is.
    if (this.fingers.size > 0) this.hold();
    else {
      const tapped = held?.kind === "pan" && !held.moved;
      this.finish();
      if (tapped && event.type === "pointerup") {
        host.onHover(this.instant(x));
        host.onTap(this.instant(x), event.clientY - this.element.getBoundingClientRect().top);
      }
    }
  };

  readonly leave = (event: PointerEvent): void => {
    if (event.pointerType === "mouse" && !this.held) this.host.onHover(null);
  };

  readonly wheel = (event: WheelEvent): void => {
    event.preventDefault();
    if (this.held) return;
    const { host } = this;
    const span = this.begin();
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const byMs = (sideways / host.plot().width) * (span.end - span.start);
      host.viewport.move(panned(span, byMs, host.latest()));
    } else {
      const at = Math.max(0, Math.min(1, this.fraction(event.clientX)));
      const factor = wheelFactor(event.deltaY, event.deltaMode);
      host.viewport.move(zoomed(span, factor, at, host.latest()));
    }
    this.wheelRest = window.setTimeout(() => this.finish(), WHEEL_REST_MS);
  };

  stop(): void {
    window.clearTimeout(this.wheelRest);
  }
}

export function bindGestures(element: HTMLElement, host: GestureHost): () => void {
  const gestures = new Gestures(element, host);
  const { down, move, up, leave, wheel } = gestures;
  const onDoubleClick = () => host.onDoubleClick();
  // Up and down still scrolls the page under a finger.
  element.style.touchAction = "pan-y";
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("dblclick", onDoubleClick);
  return () => {
    gestures.stop();
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
    element.removeEventListener("pointerleave", leave);
    element.removeEventListener("wheel", wheel);
    element.removeEventListener("dblclick", onDoubleClick);
  };
}
