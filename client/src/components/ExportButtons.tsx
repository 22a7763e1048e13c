import { useState } from "react";
import { type LegendEntry, savePng, saveSvg } from "../figures/picture";
import { saveText } from "../figures/save";

export interface ExportButtonsProps {
  /** What the files are called, without their ending. */
  name: string;
  /** What is seen as CSV; null while there is nothing. */
  csv: (() => string) | null;
  /** The lines above the picture: who, when, how. */
  title: readonly string[];
  /** Who is drawn in which colour. */
  legend: readonly LegendEntry[];
}

/** What is seen, to take along: its numbers, its picture, or its address. */
export function ExportButtons({ name, csv, title, legend }: ExportButtonsProps) {
  const [failed, setFailed] = useState(false);
  const [copied, setCopied] = useState<string | null>(null);
  const caption = { title, legend };
  const copy = async () => {
    const { href } = window.location;
    try {
      await navigator.clipboard.writeText(href);
      setCopied("The address is copied.");
    } catch {
      // Without a secure connection, browsers let nobody write there.
      setCopied(href);
    }
  };
  const save = (label: string, onClick: () => void) => (
    <button type="button" className="button" disabled={csv === null} onClick={onClick}>
      {label}
    </button>
  );
  return (
    <fieldset className="exports">
      <legend className="visually-hidden">Save or share what is shown</legend>
      {save("Save CSV", () => csv && saveText(csv(), `${name}.csv`, "text/csv"))}
      {save("Save PNG", async () => setFailed(!(await savePng(name, caption))))}
      {save("Save SVG", () => setFailed(!saveSvg(name, caption)))}
      <button type="button" className="button" onClick={copy}>
        Copy the address
      </button>
      {failed && (
        <span className="field-problem" role="alert">
          The picture could not be made.
        </span>
      )}
      {copied !== null && (
        <span className="faint copied" role="status">
          {copied}
        </span>
      )}
    </fieldset>
  );
}
