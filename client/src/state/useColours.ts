import { useCallback, useMemo, useRef } from "react";
import {
  assignSlots,
  type ChartTheme,
  DARK_THEME,
  LIGHT_THEME,
  lineColour,
} from "../charts/palette";
import { useMedia } from "./useMedia";

/** Everybody's place among the colours, which stays while they are shown. */
function useSlots(people: readonly string[]): ReadonlyMap<string, number> {
  const former = useRef<ReadonlyMap<string, number>>(new Map());
  const who = people.join(" ");
  return useMemo(() => {
    former.current = assignSlots(former.current, who ? who.split(" ") : []);
    return former.current;
  }, [who]);
}

/** The theme of the reader's scheme, and each person's colour in it. */
export function useColours(people: readonly string[]): {
  theme: ChartTheme;
  colourOf: (userId: string) => string;
} {
  const theme = useMedia("(prefers-color-scheme: dark)") ? DARK_THEME : LIGHT_THEME;
  const slots = useSlots(people);
  const colourOf = useCallback(
    (id: string) => lineColour(theme, slots.get(id) ?? 0),
    [theme, slots],
  );
  return { theme, colourOf };
}
