"""Make the pictures in the documents: ``python -m tests.browser.pictures``."""

import base64
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from rewards.core.clock import utc_now
from rewards.core.database import Database, connect_database, migrate
from rewards.core.keys import create_key
from rewards.core.settings import Settings
from rewards.demo.loading import load
from rewards.facts.refresh import refresh
from rewards.importing.running import import_orders
from rewards.jobs import JOBS, run_job
from rewards.metrics.report import make_report
from rewards.metrics.showing.report_page import report_page
from rewards.metrics.store import open_source
from rewards.profiles.profile import Profile
from rewards.profiles.storing import put_profile
from rewards.program.versions import publish, starter_program

from .admins import add_admin, signed_in
from .chromium import browser
from .conftest import Site
from .serving import free_port, served
from .story import REGULAR, Story

PICTURES = Path(__file__).parent.parent.parent / "docs" / "pictures"
#: A year of a real shop, beside this repository where somebody has put it there.
REAL_SHOP = Path(__file__).parents[3] / "shared" / "data" / "online_retail_2010_2011_orders.csv"
LAST_DAY = date(2011, 12, 9)
LARGEST_BYTES = 120_000
SIZES = ((390, 844), (1280, 800))
WHO = Profile(name="Marianne Whitlock", email="marianne@example.com", birthday="05-17")
_SIGNATURE = bytes.fromhex("89504e470d0a1a0a")
#: Colours that are all but the same share a place, whose colour is the commonest of them; flat colours stay exact.
_TO_PALETTE = """async encoded => {
    const blob = await (await fetch("data:image/png;base64," + encoded)).blob();
    const image = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const { data } = canvas.getImageData(0, 0, image.width, image.height);
    const counts = new Map();
    for (let at = 0; at < data.length; at += 4) {
        const color = data[at] << 16 | data[at + 1] << 8 | data[at + 2];
        counts.set(color, (counts.get(color) || 0) + 1);
    }
    const alike = new Map();
    for (const [color, count] of [...counts].sort((one, other) => other[1] - one[1])) {
        const place = alike.get(color & 0xf8f8f8) || { color, count: 0 };
        place.count += count;
        alike.set(color & 0xf8f8f8, place);
    }
    const places = [...alike.values()].sort((one, other) => other.count - one.count);
    const palette = places.slice(0, 256).map(place => place.color);
    const parts = color => [color >> 16, color >> 8 & 255, color & 255];
    const nearest = color => {
        const wanted = parts(color);
        const far = palette.map(each => parts(each).reduce((sum, part, n) => sum + (part - wanted[n]) ** 2, 0));
        return far.indexOf(Math.min(...far));
    };
    const index = new Map([...counts.keys()].map(color => [color, nearest(color)]));
    let found = "";
    for (let at = 0; at < data.length; at += 4)
        found += String.fromCharCode(index.get(data[at] << 16 | data[at + 1] << 8 | data[at + 2]));
    return [image.width, image.height, palette.flatMap(parts), btoa(found)];
}"""
LADDER = "/admin/program/draft/ladder"
TIER = f"{LADDER}/tiers/2"


def main() -> None:
    """Take pictures of one customer of a small shop, and of the demo shop, both in a throw-away database."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with browser() as chromium:
        with _shop(_tell) as site:
            _take(chromium, site, "customer-page", site.link(REGULAR))
            _take(chromium, site, "admin-customer", f"/admin/customers/{REGULAR}")
            _take(chromium, site, "admin-timeline", f"/admin/customers/{REGULAR}", "timeline")
        with _shop(load) as site:
            _take(chromium, site, "admin-overview", "/admin")
            _take(chromium, site, "admin-metrics", "/admin/metrics")
            _take(chromium, site, "admin-system", "/admin/system")
            preview = _preview(chromium, site)
            _take(chromium, site, "admin-tier", TIER, "d.ladder.tiers.2.ways_in")
            _take(chromium, site, "admin-moves", preview, "moves")
        if REAL_SHOP.exists():
            _take_report(chromium)
        else:
            print(f"{REAL_SHOP} is not there: the pictures of its report stay as they are")


def _tell(database: Database, now: datetime) -> None:
    Story(database, now).regular()
    with database.engine.begin() as conn:
        put_profile(conn, REGULAR, WHO, now)


@contextmanager
def _shop(fill: Callable[[Database, datetime], object]) -> Iterator[Site]:
    """Serve a shop that ``fill`` has put into a database of its own, where each job has run."""
    with tempfile.TemporaryDirectory(prefix="rewards-pictures-") as home:
        Path(home).chmod(0o711)  # root's server runs as another user, which passes through here
        port = free_port()
        settings = Settings(home=Path(home), public_url=f"http://127.0.0.1:{port}")
        database = connect_database(settings)
        now = utc_now()
        migrate(database, now - timedelta(days=3000))
        fill(database, now)
        for job in JOBS:
            run_job(job, database, now)
        with database.engine.begin() as conn:
            create_key(conn, "Webshop", "storefront", now)
        site = Site(settings.public_url, settings, database, now)
        add_admin(site, "owner", "Olive Ashgrove")
        with served(settings, port):
            yield site
        database.dispose()


def _take_report(chromium: Browser) -> None:
    """Take pictures of the report of a real shop's year, which had no program."""
    with tempfile.TemporaryDirectory(prefix="rewards-pictures-") as home:
        Path(home).chmod(0o711)  # root's server runs as another user, which passes through here
        database = connect_database(Settings(home=Path(home)))
        now = utc_now()
        migrate(database, now)
        with database.engine.begin() as conn:
            program = starter_program("GBP", "Europe/London").model_copy(
                update={"name": "An online gift shop"}
            )
            publish(conn, program, effective_from=datetime(2000, 1, 1, tzinfo=UTC), now=now, actor="pictures")
        import_orders(REAL_SHOP, database, now=now, award=False)
        refresh(database, now)
        with database.engine.connect() as conn, conn.begin():
            report = make_report(open_source(conn, as_of=LAST_DAY, now=now), now)
        database.dispose()
    with tempfile.TemporaryDirectory(prefix="rewards-report-") as folder:
        path = Path(folder) / "report.html"
        path.write_text(report_page(report), encoding="utf-8")
        _take(chromium, None, "report", path.as_uri())


def _preview(chromium: Browser, site: Site) -> str:
    """Make the third tier easier in the draft, replay the history under it, and return the report's address."""
    page = chromium.new_page(**signed_in(site))
    page.goto(site.base + LADDER)
    page.locator("[id='d.ladder.edits']").select_option("raise_only")
    page.get_by_role("button", name="Save in the draft").click()
    expect(page.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    page.goto(site.base + TIER)
    page.locator("[id='d.ladder.tiers.2.ways_in.0.spend_minor']").fill("300")
    page.get_by_role("button", name="Save in the draft").click()
    expect(page.get_by_text("Saved in the draft.", exact=True)).to_be_visible()
    page.goto(site.base + "/admin/program/draft/preview")
    page.get_by_role("button", name="Replay the history").click()
    expect(page.get_by_role("heading", name="Who moves tier")).to_be_visible(timeout=60_000)
    expect(page.locator("#progress[data-poll]")).to_have_count(0, timeout=60_000)
    address = page.url
    page.close()
    return address.removeprefix(site.base)


def _take(chromium: Browser, site: Site | None, name: str, address: str, top: str = "") -> None:
    """Take a page's picture on a phone and a desk, by day and by night; from the element ``top`` on."""
    url = address if site is None or address.startswith("http") else site.base + address
    session = {} if site is None else signed_in(site)
    for scheme in ("light", "dark"):
        for width, height in SIZES:
            page = chromium.new_page(
                viewport={"width": width, "height": height}, color_scheme=scheme, **session
            )
            page.goto(url)
            if top:
                _scroll(page, top)
            path = PICTURES / f"{name}-{scheme}-{width}.png"
            path.write_bytes(_packed(chromium, page.screenshot()))
            page.close()
            if path.stat().st_size >= LARGEST_BYTES:
                sys.exit(f"{path.name} has {LARGEST_BYTES:,} bytes or more; show less of the page")


def _scroll(page: Page, top: str) -> None:
    """Put an element at the top, with as much above it as shows where it begins."""
    page.locator(f"[id='{top}']").evaluate(
        "at => window.scrollTo(0, at.getBoundingClientRect().top + window.scrollY - 24)"
    )


def _packed(chromium: Browser, png: bytes) -> bytes:
    """Compress a picture as a palette of 256 colours, which is enough for pages and a third of the bytes."""
    page = chromium.new_page()
    width, height, colors, places = page.evaluate(_TO_PALETTE, base64.b64encode(png).decode())
    page.close()
    pixels = base64.b64decode(places)
    rows = b"".join(b"\0" + pixels[start : start + width] for start in range(0, len(pixels), width))
    head = width.to_bytes(4) + height.to_bytes(4) + bytes((8, 3, 0, 0, 0))
    chunks = ((b"IHDR", head), (b"PLTE", bytes(colors)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"".join([_SIGNATURE, *(_chunk(*each) for each in chunks)])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content).to_bytes(4)
    return len(content).to_bytes(4) + kind + content + check


if __name__ == "__main__":
    main()
