/** Charts as a PNG or SVG file, with the words that stand around them on the page. */
import { type Drawing, drawingOf } from "../charts/drawings";
import type { Ctx } from "../charts/paint";
import { SvgContext } from "../charts/svg";
import { saveBlob, saveText } from "./save";

const LINE_PX = 20;
const EDGE_PX = 14;
const FONT = "13px system-ui, sans-serif";

export interface LegendEntry {
  label: string;
  colour: string;
}

/** What the file holds beside the charts. */
export interface Caption {
  /** Lines above all. */
  title: readonly string[];
  legend: readonly LegendEntry[];
}

/** A chart and what it is called, where there is more than one. */
interface Part {
  drawing: Drawing;
  title: string;
}

interface Sheet extends Caption {
  parts: readonly Part[];
  ground: string;
  ink: string;
}

/** Every chart on the page from the top, each pane with its heading. */
function sheetOf(caption: Caption): Sheet | null {
  const charts = [...document.querySelectorAll(".panel .chart")];
  const parts = charts.flatMap((element): Part[] => {
    const drawing = drawingOf(element);
    const title = element.closest(".pane")?.querySelector("h2")?.textContent ?? "";
    return drawing ? [{ drawing, title }] : [];
  });
  const style = getComputedStyle(document.querySelector(".panel") ?? document.body);
  const [ground, ink] = [style.backgroundColor, style.color];
  return parts.length > 0 ? { ...caption, parts, ground, ink } : null;
}

const headOf = ({ title }: Sheet) => EDGE_PX + LINE_PX * (title.length + 1);
const heightOf = ({ drawing, title }: Part) => (title ? LINE_PX : 0) + drawing.size.height;

function sizeOf(sheet: Sheet): { width: number; height: number } {
  return {
    width: Math.max(...sheet.parts.map(({ drawing }) => drawing.size.width)) + 2 * EDGE_PX,
    height: headOf(sheet) + sheet.parts.reduce((sum, one) => sum + heightOf(one), EDGE_PX),
  };
}

function drawLegend(to: Ctx, sheet: Sheet, y: number): void {
  let x = EDGE_PX;
  for (const { label, colour } of sheet.legend) {
    to.fillStyle = colour;
    to.fillRect(x, y - 6, 14, 4);
    to.fillStyle = sheet.ink;
    to.fillText(label, x + 20, y);
    x += 20 + to.measureText(label).width + 18;
  }
}

/** The texts, and the charts one below the other. */
function drawSheet(to: Ctx, sheet: Sheet): void {
  const { width, height } = sizeOf(sheet);
  to.fillStyle = sheet.ground;
  to.fillRect(0, 0, width, height);
  const write = (text: string, y: number) => {
    to.font = FONT;
    to.textAlign = "left";
    to.textBaseline = "alphabetic";
    to.fillStyle = sheet.ink;
    to.fillText(text, EDGE_PX, y);
  };
  sheet.title.forEach((text, i) => {
    write(text, EDGE_PX + LINE_PX * (i + 0.6));
  });
  drawLegend(to, sheet, EDGE_PX + LINE_PX * (sheet.title.length + 0.6));
  let y = headOf(sheet);
  for (const part of sheet.parts) {
    if (part.title) write(part.title, y + LINE_PX * 0.6);
    to.save();
    to.translate(EDGE_PX, y + (part.title ? LINE_PX : 0));
    part.drawing.draw(to);
    to.restore();
    y += heightOf(part);
  }
}

/** Saves what is shown at the screen's density; false where the browser cannot make the picture. */
export async function savePng(name: string, caption: Caption): Promise<boolean> {
  const sheet = sheetOf(caption);
  const canvas = document.createElement("canvas");
  const to = canvas.getContext("2d");
  if (!sheet || !to) return false;
  const ratio = window.devicePixelRatio || 1;
  const { width, height } = sizeOf(sheet);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  to.scale(ratio, ratio);
  drawSheet(to, sheet);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) saveBlob(blob, `${name}.png`);
  return blob !== null;
}

/** The same as lines and texts that stay sharp at any size. */
export function saveSvg(name: string, caption: Caption): boolean {
  const sheet = sheetOf(caption);
  const ruler = document.createElement("canvas").getContext("2d");
  if (!sheet || !ruler) return false;
  const to = new SvgContext((text, font) => {
    ruler.font = font;
    return ruler.measureText(text).width;
  });
  drawSheet(to as unknown as Ctx, sheet);
  const { width, height } = sizeOf(sheet);
  saveText(to.document(width, height), `${name}.svg`, "image/svg+xml");
  return true;
}
