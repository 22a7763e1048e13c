/** What of a picture is drawn. */
import { useMemo } from "react";
import type { Line } from "../charts/scene";
import { lowerBound, type Track } from "../charts/tracks";
import type { Picture } from "../state/pictures";
import type { Page } from "../state/usePage";
import type { Span } from "../time/range";

/** The lines of a picture that are to be drawn, in the order of the people. */
export function useLines(
  picture: Picture | null,
  page: Page,
  colourOf: (userId: string) => string,
) {
  const { people, chart } = page;
  return useMemo(() => {
    const lines = (picture?.tracks ?? []).flatMap(({ userId }, i): Line[] => {
      const pyramid = picture?.pyramids[i];
      const seen = people.includes(userId) && !chart.muted.includes(userId);
      return pyramid && seen ? [{ userId, pyramid, colour: colourOf(userId) }] : [];
    });
    return { lines, tracks: lines.flatMap((line) => trackOf(picture, line.userId) ?? []) };
  }, [picture, people, chart.muted, colourOf]);
}

function trackOf(picture: Picture | null, userId: string): Track | undefined {
  return picture?.tracks.find((track) => track.userId === userId);
}

export function pointsIn(tracks: readonly Track[], { start, end }: Span): number {
  return tracks.reduce((sum, { x }) => sum + lowerBound(x, end) - lowerBound(x, start), 0);
}
