"""The pages' own files, served under names that carry their content's hash.

A name never stands for another content, so a browser may keep a file for ever, and a page that was changed
brings its own files along. They are few and small: a process reads them once.
"""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from api.errors import http_problem

STATIC = Path(__file__).parent.parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter()


class Asset(NamedTuple):
    """A file as it is served."""

    name: str
    content: bytes
    media_type: str


@cache
def assets() -> dict[str, Asset]:
    """Return every asset by its file's name, such as ``pages.css``."""
    return dict(_read(STATIC))


def asset_url(file_name: str) -> str:
    """Return the address of an asset, relative to a page one folder below the root.

    Relative, because a proxy may serve us under a prefix that only it knows.
    """
    return f"../static/{asset_name(file_name)}"


def asset_name(file_name: str) -> str:
    """Return the name under which an asset is served, with its content's hash in it."""
    return assets()[file_name].name


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    for path in sorted(folder.iterdir()):
        media_type = _TYPES.get(path.suffix)
        if media_type is not None:
            content = path.read_bytes()
            name = f"{path.stem}.{sha256(content).hexdigest()[:12]}{path.suffix}"
            yield path.name, Asset(name, content, media_type)


@router.api_route("/static/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def static_file(request: Request, name: str) -> Response:
    """Serve an asset under its hashed name, and under no other."""
    asset = next((asset for asset in assets().values() if asset.name == name), None)
    if asset is None:
        raise http_problem(404, "There is no such file.", {})
    headers = {"cache-control": _FOR_EVER, "etag": f'"{name}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
