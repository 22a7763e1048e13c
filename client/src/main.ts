/** Starts what the first picture needs side by side: its question, the page that is asked for, and its chart's workers. */
import { warmPainter } from "./charts/painter";
import { warmReader } from "./charts/reader";
import { start } from "./start";
import { askForFirstChart } from "./state/early";
import { pageOf } from "./state/route";
import { loadView } from "./views";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/controls.css";
import "./styles/chart.css";
import "./styles/cards.css";
import "./styles/import.css";
import "./styles/begin.css";

const page = pageOf(window.location.pathname);
if (page === "compare") askForFirstChart();
if (page === "compare" || page === "person") {
  warmReader();
  warmPainter();
}
// Where it cannot be loaded, whoever shows it asks for it once more, and tells about it.
void (page ? loadView(page) : Promise.resolve()).then(start, start);
