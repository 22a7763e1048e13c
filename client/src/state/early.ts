/** The first question of a chart, sent while the page that shows it is still to be drawn. */
import { askEarly } from "../charts/reader";
import { resolveRange } from "../time/range";
import { browserZone } from "../time/zone";
import { questionFor } from "./fetchPicture";
import { INTRADAY, parseView } from "./url";
import { windowFor } from "./windows";

function made(name: string): HTMLElement {
  const element = document.createElement("div");
  element.className = name;
  return element;
}

/** How wide the chart will be, by the style sheets. */
function widthToCome(): number {
  const root = document.getElementById("root");
  const frame = made("chart-frame");
  const main = made("main");
  main.append(made("panel"));
  main.firstElementChild?.append(frame);
  const layout = made("layout");
  layout.append(made("side"), main);
  root?.append(layout);
  const width = frame.clientWidth;
  layout.remove();
  return width;
}

/**
 * Asks what the chart of several people will ask, where the address alone says it. The answer is
 * there when it does; where it asks something else after all, this question is cancelled.
 */
export function askForFirstChart(): void {
  const { people, range, own, metric, zone: said, chart } = parseView(window.location.search);
  if (!people?.length || range === null || own || metric !== INTRADAY) return;
  if (range.kind === "preset" && range.preset === "all") return;
  const zone = said ?? browserZone();
  const width = widthToCome();
  if (width === 0) return;
  const asked = windowFor(resolveRange(range, Date.now(), null, zone), width);
  const subject = { people, zone, clocks: null, metric: null, interval: chart.resolution, width };
  askEarly(questionFor(subject, asked));
}
