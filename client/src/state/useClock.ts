import { useEffect, useState } from "react";
import { isLive, type RangeChoice } from "../time/range";

/** How often a range that ends now is asked again. */
const REFRESH_MS = 30_000;

/**
 * The present as the page takes it: read anew with each choice of a range, and moved on by the
 * clock while a "last ..." range is shown in a tab that is seen.
 */
export function useClock(range: RangeChoice | null): number {
  const [now, setNow] = useState(() => Date.now());
  const [chosen, setChosen] = useState(range);
  if (chosen !== range) {
    setChosen(range);
    setNow(Date.now());
  }

  const live = range !== null && isLive(range);
  useEffect(() => {
    if (!live) return;
    const moveOn = () => {
      const due = Date.now() - now >= REFRESH_MS;
      if (due && document.visibilityState === "visible") setNow(Date.now());
    };
    const timer = window.setInterval(moveOn, REFRESH_MS);
    document.addEventListener("visibilitychange", moveOn);
    return () => {
      window.clearInterval(timer);
      document.removeEventListener("visibilitychange", moveOn);
    };
  }, [live, now]);
  return now;
}
