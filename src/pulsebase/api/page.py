"""The page at `/app` and the documents at `/docs` and `/redoc`: static files built beforehand, nothing from
elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

#: The page loads its own files alone. React sets styles through the DOM's style objects, which this allows.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
#: The documents start themselves with a script in the page, and work in the background.
_DOCUMENTS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
_YEAR_S = 31_536_000
#: What the page itself goes to without asking for a file. `client/src/state/route.ts` has the same list.
_OWN_PATHS = frozenset({"person", "cohort", "live", "system"})


class _Page(StaticFiles):
    """Hashed assets are kept by the browser for good, the rest is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response("index.html" if path in _OWN_PATHS else path, scope)
        lasting = path.startswith("assets/") and response.status_code in (200, 304)
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if lasting else "no-cache"
        response.headers["Content-Security-Policy"] = _POLICY
        return response


def mount_page(app: FastAPI, folder: Path) -> None:
    """Serve the built page, or say how to build it."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return _document(
            get_swagger_ui_html(
                openapi_url="/openapi.json",
                title="Pulsebase API",
                swagger_js_url="/app/docs/swagger-ui-bundle.js",
                swagger_css_url="/app/docs/swagger-ui.css",
                # By default, off loopback, it would send the document's address to a validator on the internet.
                swagger_ui_parameters={"validatorUrl": None},
                swagger_favicon_url="/app/favicon.svg",
            )
        )

    @app.get("/redoc", include_in_schema=False)
    def redoc() -> HTMLResponse:
        return _document(
            get_redoc_html(
                openapi_url="/openapi.json",
                title="Pulsebase API",
                redoc_js_url="/app/docs/redoc.standalone.js",
                redoc_favicon_url="/app/favicon.svg",
                with_google_fonts=False,
            )
        )

    @app.get("/app", include_in_schema=False)
    def page() -> RedirectResponse:
        return RedirectResponse("/app/")

    if (folder / "index.html").is_file():
        app.mount("/app", _Page(directory=folder, html=True))
    else:

        @app.get("/app/", include_in_schema=False)
        def unbuilt() -> HTMLResponse:
            text = "<!doctype html><title>Pulsebase</title><p>The page is not built: run <code>make client</code>."
            return HTMLResponse(text, status_code=404)


def _document(page: HTMLResponse) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = _DOCUMENTS_POLICY
    return page
