import { useState } from "react";
import { type Part, savePicture } from "../figures/picture";
import { saveText } from "../figures/save";

export interface ExportButtonsProps {
  /** What the files are called, without their ending. */
  name: string;
  /** What is seen as CSV; null while there is nothing. */
  csv: (() => string) | null;
  /** The lines above the picture: who, when, how. */
  title: readonly string[];
  /** Who is drawn in which colour. */
  legend: readonly { label: string; colour: string }[];
}

/** Every chart on the page from the top, each pane with its heading. */
function shownCharts(): Part[] {
  return [...document.querySelectorAll(".panel .chart")].flatMap((element) => {
    const chart = element.querySelector("canvas");
    const title = element.closest(".pane")?.querySelector("h2")?.textContent ?? "";
    return chart ? [{ chart, title }] : [];
  });
}

/** What is seen, to take along: its numbers, or its picture. */
export function ExportButtons({ name, csv, title, legend }: ExportButtonsProps) {
  const [failed, setFailed] = useState(false);
  const saveImage = async () => {
    setFailed(!(await savePicture(shownCharts(), `${name}.png`, title, legend)));
  };
  return (
    <fieldset className="exports">
      <legend className="visually-hidden">Save what is shown</legend>
      <button
        type="button"
        className="button"
        disabled={csv === null}
        onClick={() => csv && saveText(csv(), `${name}.csv`, "text/csv")}
      >
        Save CSV
      </button>
      <button type="button" className="button" disabled={csv === null} onClick={saveImage}>
        Save PNG
      </button>
      {failed && (
        <span className="field-problem" role="alert">
          The picture could not be made.
        </span>
      )}
    </fieldset>
  );
}
