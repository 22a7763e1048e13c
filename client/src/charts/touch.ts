import type uPlot from "uplot";

/** Lets a finger drag a selection sideways, as the mouse does; up and down still scrolls the page. */
export function bindTouch(chart: uPlot): () => void {
  const { over } = chart;
  let from: number | null = null;

  const leftOf = (event: PointerEvent) => {
    const box = over.getBoundingClientRect();
    return Math.max(0, Math.min(box.width, event.clientX - box.left));
  };
  const select = (event: PointerEvent, done: boolean) => {
    if (from === null) return;
    const to = leftOf(event);
    const area = { left: Math.min(from, to), width: Math.abs(to - from), top: 0 };
    chart.setSelect({ ...area, height: over.clientHeight }, done);
  };

  const onDown = (event: PointerEvent) => {
    if (event.pointerType === "mouse" || !event.isPrimary) return;
    from = leftOf(event);
  };
  const onMove = (event: PointerEvent) => {
    if (from === null || !event.isPrimary) return;
    chart.setCursor({ left: leftOf(event), top: 0 });
    select(event, false);
  };
  const onUp = (event: PointerEvent) => {
    if (!event.isPrimary) return;
    select(event, true);
    from = null;
  };
  const onCancel = () => {
    from = null;
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  };

  over.style.touchAction = "pan-y";
  over.addEventListener("pointerdown", onDown);
  over.addEventListener("pointermove", onMove);
  over.addEventListener("pointerup", onUp);
  over.addEventListener("pointercancel", onCancel);
  return () => {
    over.removeEventListener("pointerdown", onDown);
    over.removeEventListener("pointermove", onMove);
    over.removeEventListener("pointerup", onUp);
    over.removeEventListener("pointercancel", onCancel);
  };
}
