"""Make the README's pictures of the customer's page: ``python -m tests.browser.pictures``."""

import sys
import tempfile
import zlib
from datetime import timedelta
from pathlib import Path

from rewards.core.clock import utc_now
from rewards.core.database import connect_database, migrate
from rewards.core.links import make_link
from rewards.core.settings import Settings

from .chromium import browser
from .serving import free_port, served
from .story import REGULAR, Story

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
LARGEST_BYTES = 150_000
SIZES = ((390, 844), (1280, 720))


def main() -> None:
    """Serve a made-up customer's page from a throw-away database and take its picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rewards-pictures-") as home:
        Path(home).chmod(0o711)  # root's server runs as another user, which passes through here
        port = free_port()
        settings = Settings(home=Path(home), public_url=f"http://127.0.0.1:{port}")
        database = connect_database(settings)
        now = utc_now()
        migrate(database, now - timedelta(days=3000))
        Story(database, now).regular()
        url, _ = make_link(settings, REGULAR, now)
        with served(settings, port), browser() as chromium:
            for scheme in ("light", "dark"):
                for width, height in SIZES:
                    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    page.goto(url)
                    path = PICTURES / f"customer-page-{scheme}-{width}.png"
                    path.write_bytes(_packed(page.screenshot()))
                    page.close()
                    if path.stat().st_size >= LARGEST_BYTES:
                        sys.exit(f"{path.name} has {LARGEST_BYTES:,} bytes or more; show less of the page")
        database.dispose()


def _packed(png: bytes) -> bytes:
    """Compress a picture as far as it goes; the browser only compresses it as far as it is quick."""
    signature, at = png[:8], 8
    before: list[bytes] = []
    pixels = b""
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        kind, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind == b"IDAT":
            pixels += content
        elif kind != b"IEND":
            before.append(png[at : at + 12 + length])
        at += 12 + length
    packed = _chunk(b"IDAT", zlib.compress(zlib.decompress(pixels), 9))
    return b"".join([signature, *before, packed, _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4)
    return len(content).to_bytes(4) + kind + content + check


if __name__ == "__main__":
    main()
