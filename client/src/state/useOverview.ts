import { useEffect, useState } from "react";
import { maxPointsFor } from "../charts/density";
import type { Span } from "../time/range";
import { fetchPicture } from "./fetchPicture";
import type { Picture, Subject } from "./pictures";
import { unitFor } from "./windows";

/**
 * The picture of the whole history, asked for after the chart's own is there. It is beside the
 * point when it fails: the strip then shows where one is, without the lines.
 */
export function useOverview(subject: Subject | null, extent: Span | null, begin: boolean) {
  const [picture, setPicture] = useState<Picture | null>(null);
  const { start, end } = extent ?? { start: 0, end: 0 };
  useEffect(() => {
    if (!subject || end <= start || !begin) return;
    const control = new AbortController();
    const span = { start, end };
    const maxPoints = maxPointsFor(subject.width, end - start);
    const window = { span, unitMs: unitFor(end - start), maxPoints };
    const automatic = { ...subject, interval: null };
    fetchPicture(automatic, window, control.signal, "low").then(setPicture, () => {
      if (!control.signal.aborted) setPicture(null);
    });
    return () => control.abort();
  }, [subject, start, end, begin]);
  return picture;
}
