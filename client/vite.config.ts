import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { docsFiles } from "./docs-files.ts";

// Where `npm run dev` finds a running server; the built page is served by that server itself.
const DEV_API = "http://127.0.0.1:8000";

export default defineConfig({
  base: "/app/",
  plugins: [react(), docsFiles()],
  build: {
    outDir: "../src/pulsebase/api/page",
    emptyOutDir: true,
    // No data: addresses and no inline scripts, so that a strict Content-Security-Policy holds.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // What pages share is one file: a dozen small ones take longer to ask for than to load.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "shared", minShareCount: 2 }] } },
    },
  },
  server: {
    // The server refuses foreign Host and Origin headers, so the proxy speaks as a local page.
    proxy: Object.fromEntries(
      ["/v1", "/health", "/metrics"].map((path) => {
        return [path, { target: DEV_API, changeOrigin: true, headers: { origin: DEV_API } }];
      }),
    ),
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
