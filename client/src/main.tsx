import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { Login } from "./components/Login";
import "./styles/base.css";
import "./styles/page.css";
import "./styles/controls.css";
import "./styles/chart.css";
import "./styles/cards.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <Login>
        <App />
      </Login>
    </StrictMode>,
  );
}
