"""The web page at `/app` and the API documents at `/docs` and `/redoc`: static files built beforehand. Nothing is
loaded from other servers.
"""

from __future__ import annotations

import gzip
import os
import re
from functools import lru_cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.datastructures import Headers
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

#: The page loads only its own files. React sets styles through the DOM's style objects, which this allows.
_POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
#: The API documents start with an inline script and use a background worker.
_DOCUMENTS_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
_YEAR_S = 31_536_000
_REFUSED = re.compile(r"q=0(\.0*)?")
#: Paths of the page's own views, for which there is no file. `client/src/state/route.ts` has the same list.
_OWN_PATHS = frozenset({"person", "cohort", "live", "import", "system"})


#: File types that are worth compressing.
_TEXTS = frozenset({".css", ".html", ".js", ".json", ".svg"})


class _Page(StaticFiles):
    """Serves the page. Browsers keep hashed assets for good and revalidate the rest; text files are compressed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response("index.html" if path in _OWN_PATHS else path, scope)
        if isinstance(response, FileResponse) and Path(response.path).suffix in _TEXTS:
            if _takes_gzip(scope):
                response = await run_in_threadpool(_packed, response)
            response.headers["Vary"] = "Accept-Encoding"
        lasting = path.startswith("assets/") and response.status_code in (200, 304)
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if lasting else "no-cache"
        response.headers["Content-Security-Policy"] = _POLICY
        return response


def _takes_gzip(scope: Scope) -> bool:
    """Whether the client accepts gzip. A request for a range of a file is answered uncompressed."""
    headers = Headers(scope=scope)
    offers = [offer.replace(" ", "").partition(";") for offer in headers.get("accept-encoding", "").split(",")]
    return "range" not in headers and any(name == "gzip" and not _REFUSED.fullmatch(rest) for name, _, rest in offers)


def _packed(file: FileResponse) -> Response:
    packed = _gzip(str(file.path), os.stat(file.path).st_mtime_ns)
    kept = {name: file.headers[name] for name in ("etag", "last-modified")}
    return Response(packed, file.status_code, {**kept, "Content-Encoding": "gzip"}, file.media_type)


@lru_cache(maxsize=64)
def _gzip(path: str, changed_ns: int) -> bytes:
    """Return a compressed file. The cache key includes the time of change, so that a changed file is read again."""
    del changed_ns
    return gzip.compress(Path(path).read_bytes(), mtime=0)


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
