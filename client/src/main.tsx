import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Login } from "./components/Login";
import { SeriesPage } from "./pages/SeriesPage";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/controls.css";
import "./styles/chart.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Login>
        <SeriesPage />
      </Login>
    </StrictMode>,
  );
}
