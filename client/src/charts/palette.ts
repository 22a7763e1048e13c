import type { MarkerKind } from "./markers";

/**
 * Colours of people on the chart, after Okabe and Ito: told apart with every common kind of colour
 * blindness: blue, vermilion, green, pink, ochre, sky, violet, grey. Each scheme has its own lightness so that lines keep 3:1 against the ground.
 */
const LIGHT = [
  "#0072b2",
  "#c04f00",
  "#00795a",
  "#b0528a",
  "#8a6d00",
  "#2b8cc4",
  "#5a4fa2",
  "#4d4d4d",
];
const DARK = [
  "#5ab4ea",
  "#f08a4b",
  "#34c79b",
  "#e59cc6",
  "#e8cf4e",
  "#a5d8f3",
  "#a79df0",
  "#c9c9c9",
];

export interface ChartTheme {
  lines: readonly string[];
  axis: string;
  grid: string;
  bandAlpha: number;
  surface: string;
  /** The ground where it is night. */
  night: string;
  /** Of heart-rate zones above the lowest, as in the bars of the days. */
  zones: readonly string[];
  /** Each kind has a shape of its own as well. */
  markers: Readonly<Record<MarkerKind, string>>;
}

export const LIGHT_THEME: ChartTheme = {
  lines: LIGHT,
  axis: "#5b6570",
  grid: "#e8ebee",
  bandAlpha: 0.16,
  surface: "#ffffff",
  night: "#f1f3f7",
  zones: ["#8fc1e3", "#d98a1f", "#8c2d13"],
  markers: {
    note: "#6a3fb5",
    device: "#5b6570",
    source: "#1c7a5c",
    import: "#0b6bb0",
    signal: "#b3261e",
  },
};

export const DARK_THEME: ChartTheme = {
  lines: DARK,
  axis: "#98a3ae",
  grid: "#262d35",
  bandAlpha: 0.2,
  surface: "#171c22",
  night: "#12161c",
  zones: ["#27577a", "#c9851f", "#ffb199"],
  markers: {
    note: "#c3a6ff",
    device: "#98a3ae",
    source: "#4fc49b",
    import: "#6cb8f0",
    signal: "#ff8f7d",
  },
};

export function lineColour(theme: ChartTheme, slot: number): string {
  return theme.lines[slot % theme.lines.length] ?? theme.axis;
}

/** The colour of a zone by its rank, the lowest of all being 0; that one has none, since it takes most of every day. */
export function zoneColour(theme: ChartTheme, rank: number): string | null {
  return rank === 0 ? null : (theme.zones[Math.min(rank, theme.zones.length) - 1] ?? null);
}

/** `#rrggbb` with an opacity. */
export function translucent(colour: string, alpha: number): string {
  const byte = Math.round(alpha * 255);
  return colour + byte.toString(16).padStart(2, "0");
}

/** Gives each person a colour and lets those who stay keep theirs. */
export function assignSlots(
  former: ReadonlyMap<string, number>,
  people: readonly string[],
): Map<string, number> {
  const slots = new Map<string, number>();
  for (const id of people) {
    const slot = former.get(id);
    if (slot !== undefined) slots.set(id, slot);
  }
  const taken = new Set(slots.values());
  let next = 0;
  for (const id of people) {
    if (slots.has(id)) continue;
    while (taken.has(next)) next += 1;
    slots.set(id, next);
    taken.add(next);
  }
  return slots;
}
