const PATHS = {
  minus: "M5 12h14",
  plus: "M5 12h14M12 5v14",
  left: "M14.5 5.5 8 12l6.5 6.5",
  right: "M9.5 5.5 16 12l-6.5 6.5",
  close: "M7 7l10 10M17 7 7 17",
  pulse: "M2 13h5l2.5-7 4 12 3-8 1.5 3h4",
} as const;

/** A line drawing of the page's own; the button around it carries the words. */
export function Icon({ name, size = 18 }: { name: keyof typeof PATHS; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
