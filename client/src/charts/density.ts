/** Two points a pixel: lines stay crisp on dense screens. */
const POINTS_PER_PX = 2;
/** A day in minutes fits even on a phone; more than the upper bound no screen shows. */
const FEWEST = 1500;
const MOST = 4000;
/** Widths are taken in steps, so that a window being resized does not ask at every pixel. */
const STEP = 500;

/** How many points to ask for on a chart of a given width in CSS pixels. */
export function maxPointsFor(width: number): number {
  const wanted = Math.ceil((width * POINTS_PER_PX) / STEP) * STEP;
  return Math.min(MOST, Math.max(FEWEST, wanted));
}
