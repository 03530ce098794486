"""From a template and what it is about to a page: escaping, headers, and how numbers and dates look."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.pages.assets import asset_url
from rewards.core import wording

#: An installed wheel carries the templates beside the code; in the repository they stand at its top.
_TEMPLATES = (Path(__file__).parent.parent / "_templates", Path(__file__).parent.parent.parent / "templates")

#: A page holds one customer's affairs, and its address is the key to it: nobody keeps a copy, no other site
#: is told the address, nothing is loaded but our own style and pictures, and no frame may dress it up.
PAGE_HEADERS: Mapping[str, str] = {
    "cache-control": "private, no-store",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
}

#: A page with a form may send it back to us.
FORM_HEADERS: Mapping[str, str] = {
    "content-security-policy": PAGE_HEADERS["content-security-policy"].replace(
        "form-action 'none'", "form-action 'self'"
    )
}


def html_page(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, **about: Any
) -> Response:
    """Return a template filled in; every value is escaped."""
    html = _environment().get_template(template).render(about)
    return Response(html, status, {**PAGE_HEADERS, **(headers or {})}, media_type="text/html; charset=utf-8")


#: Characters of a number that fit beside a sentence on the narrowest screens.
_LONGEST_UNBROKEN = 10


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset_url
    environment.filters.update(
        number=_number,
        points=wording.points,
        day=wording.day,
        signed=_signed,
        time=_time,
        segment=_segment,
    )
    return environment


def _number(value: int) -> str:
    """Write a number; one too long for a phone's column may be broken between its thousands."""
    text = wording.number(value)
    return text if len(text) <= _LONGEST_UNBROKEN else Markup(",<wbr>").join(text.split(","))


def _signed(value: int) -> str:
    """Write a change of points: ``+49``, ``−49``, ``0``."""
    return "+" + _number(value) if value > 0 else _number(value)


def _segment(text: str) -> str:
    """Write a name as one segment of an address, its slashes escaped."""
    return quote(text, safe="")


def _time(instant: datetime, text: str) -> Markup:
    """Mark ``text`` up as standing for an instant, so that machines can read it too."""
    exact = instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(exact, text)
