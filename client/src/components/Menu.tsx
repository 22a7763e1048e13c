import { type ReactNode, useEffect, useRef } from "react";

export interface MenuProps {
  label: ReactNode;
  /** At which end of its button the panel is aligned. */
  align?: "start" | "end";
  children: ReactNode;
}

/** What is folded away behind a button, and opens over the page. Escape and a click beside it close it. */
export function Menu({ label, align = "start", children }: MenuProps) {
  const fold = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const onPointer = ({ target }: PointerEvent) => {
      const element = fold.current;
      if (element && target instanceof Node && !element.contains(target)) element.open = false;
    };
    const onKey = ({ key }: KeyboardEvent) => {
      const element = fold.current;
      if (key !== "Escape" || !element?.open) return;
      element.open = false;
      element.querySelector("summary")?.focus();
    };
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("pointerdown", onPointer);
      document.removeEventListener("keydown", onKey);
    };
  }, []);
  return (
    <details ref={fold} className="menu">
      <summary className="button">
        <span className="menu-label">{label}</span>
      </summary>
      <div className="menu-panel" data-align={align}>
        {children}
      </div>
    </details>
  );
}
