/// <reference types="node" />
/**
 * What `/docs` and `/redoc` load: the files of two npm packages, put beside the page under docs/
 * with their licences, so that these pages ask nobody but their own server.
 */
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

const FILES: Record<string, string> = {
  "swagger-ui-bundle.js": "swagger-ui-dist/swagger-ui-bundle.js",
  "swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt",
  "swagger-ui.css": "swagger-ui-dist/swagger-ui.css",
  "swagger-ui.LICENSE.txt": "swagger-ui-dist/LICENSE",
  "swagger-ui.NOTICE.txt": "swagger-ui-dist/NOTICE",
  "redoc.standalone.js": "redoc/bundles/redoc.standalone.js",
  "redoc.standalone.js.LICENSE.txt": "redoc/bundles/redoc.standalone.js.LICENSE.txt",
  "redoc.LICENSE.txt": "redoc/LICENSE",
};

/** The one picture that Redoc would fetch from its makers; their name beside it stays. */
const REMOTE_LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const NO_LOGO = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
/** The source maps are not shipped. */
const SOURCE_MAP = /\n(\/\/# sourceMappingURL=\S+|\/\*# sourceMappingURL=\S+ ?\*\/)\s*$/;

function contentOf(source: string): string {
  const text = readFileSync(new URL(`node_modules/${source}`, import.meta.url), "utf8");
  if (!source.endsWith("redoc.standalone.js")) return text.replace(SOURCE_MAP, "\n");
  if (!text.includes(REMOTE_LOGO)) throw new Error(`${source} no longer has ${REMOTE_LOGO}`);
  return text.replaceAll(REMOTE_LOGO, NO_LOGO).replace(SOURCE_MAP, "\n");
}

export function docsFiles(): Plugin {
  return {
    name: "docs-files",
    apply: "build",
    generateBundle() {
      for (const [name, source] of Object.entries(FILES)) {
        this.emitFile({ type: "asset", fileName: `docs/${name}`, source: contentOf(source) });
      }
    },
  };
}
