/** A chart's canvas as a PNG file, with the words that stand around it on the page. */
import { saveBlob } from "./save";

const LINE_PX = 20;
const EDGE_PX = 14;
const FONT = "13px system-ui, sans-serif";

interface LegendEntry {
  label: string;
  colour: string;
}

function drawLegend(to: CanvasRenderingContext2D, legend: readonly LegendEntry[], y: number): void {
  let x = EDGE_PX;
  for (const { label, colour } of legend) {
    const ink = to.fillStyle;
    to.fillStyle = colour;
    to.fillRect(x, y - 6, 14, 4);
    to.fillStyle = ink;
    to.fillText(label, x + 20, y);
    x += 20 + to.measureText(label).width + 18;
  }
}

/** A chart and what it is called, where there is more than one. */
export interface Part {
  chart: HTMLCanvasElement;
  title: string;
}

/** Saves the charts one below the other; false where the browser cannot make the picture. */
export async function savePicture(
  parts: readonly Part[],
  name: string,
  title: readonly string[],
  legend: readonly LegendEntry[],
): Promise<boolean> {
  const first = parts[0]?.chart;
  if (!first) return false;
  const ratio = window.devicePixelRatio || 1;
  const head = EDGE_PX + LINE_PX * (title.length + 1);
  const heights = parts.map((part) => (part.title ? LINE_PX : 0) + part.chart.height / ratio);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(...parts.map((part) => part.chart.width)) + 2 * EDGE_PX * ratio;
  canvas.height = (head + heights.reduce((sum, one) => sum + one, 0) + EDGE_PX) * ratio;
  const to = canvas.getContext("2d");
  if (!to) return false;
  const style = getComputedStyle(first.closest(".panel") ?? document.body);
  to.fillStyle = style.backgroundColor;
  to.fillRect(0, 0, canvas.width, canvas.height);
  to.scale(ratio, ratio);
  to.fillStyle = style.color;
  to.font = FONT;
  title.forEach((text, i) => {
    to.fillText(text, EDGE_PX, EDGE_PX + LINE_PX * (i + 0.6));
  });
  drawLegend(to, legend, EDGE_PX + LINE_PX * (title.length + 0.6));
  let y = head;
  parts.forEach((part, i) => {
    const { chart } = part;
    if (part.title) to.fillText(part.title, EDGE_PX, y + LINE_PX * 0.6);
    const top = y + (part.title ? LINE_PX : 0);
    to.drawImage(chart, EDGE_PX, top, chart.width / ratio, chart.height / ratio);
    y += heights[i] ?? 0;
  });
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) saveBlob(blob, name);
  return blob !== null;
}
