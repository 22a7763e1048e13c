import type { ReactNode } from "react";

/** A table that may be larger than its place: the keyboard has to reach it to scroll it. */
export function TableScroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must take the focus
    <section className="table-scroll" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}
