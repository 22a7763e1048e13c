"""What a browser is shown where a program gets a problem, and how the two are told apart."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from starlette.types import Scope

from pulsebase.api.border.request_scope import header_of

_PAGE_TYPE = "text/html"
_REFUSED = re.compile(r"q=0(\.0*)?")
#: What programs are told of an address that leads nowhere, as a sentence.
_NO_ROUTE = "There is no such route."
#: Where a browser goes on.
PAGE = "/app/"


def wants_page(scope: Scope) -> bool:
    """Whether the client shows pages: browsers that were led to an address name HTML in `Accept`, programs and the
    scripts of pages do not.
    """
    for offer in (header_of(scope, b"accept") or "").split(","):
        kind, _, rest = offer.lower().replace(" ", "").partition(";")
        if kind == _PAGE_TYPE:
            return _REFUSED.fullmatch(rest) is None
    return False


def page_of(title: str, content: str) -> str:
    """Return a page of plain HTML. `content` is HTML, `title` is text."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += '<meta name="color-scheme" content="light dark">'
    return f'<!doctype html><html lang="en">{head}<title>{html.escape(title)}</title>{content}</html>'


def problem_page(status: int, title: str, said: Sequence[str], request_id: str) -> str:
    """Return the page for a problem: the sentences about it, and the way to where there is something to see."""
    heading = title
    if list(said) == [_NO_ROUTE]:
        heading, said = "There is no such page", ["The address may be mistyped, or from another version."]
    texts = "".join(f"<p>{html.escape(text)}</p>" for text in said)
    way = f'<p><a href="{PAGE}">Go to Pulsebase</a></p>'
    small = f"<p><small>{status} {html.escape(title)}, request {html.escape(request_id)}</small></p>"
    return page_of(heading, f"<main><h1>{html.escape(heading)}</h1>{texts}{way}{small}</main>")
