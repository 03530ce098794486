import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from zoneinfo import ZoneInfo

from office import Browser, Office
from program_office import publish_program
from sqlalchemy import text

from api.pages.admin.charts import Bar, bar_chart
from rewards.admins.figures import WEEKS, read_figures
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.decide.commands import Adjust, Award, Command, Purchase, Redeem, Void
from rewards.decide.submission import Submission
from rewards.engine import Engine

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def send(database: Database, command: Command, now: datetime) -> dict[str, object]:
    key = uuid.uuid4().hex
    (answer,) = Engine(database).execute([Submission(command, key, "test")], now)
    assert answer.status < 300, answer.body
    return json.loads(answer.body)  # type: ignore[no-any-return]


def purchase(database: Database, order_id: str, now: datetime, customer_id: str = "c-1") -> None:
    bought = Purchase(type="purchase", order_id=order_id, total_minor=10_000, currency="USD")
    send(database, Award(customer_id=customer_id, activity=bought), now)


def test_the_figures_are_what_happened(database: Database) -> None:
    zone = ZoneInfo("America/New_York")
    # 1 November is a Sunday: the week began on Monday, the 26th, at midnight in New York, which is 4 o'clock in UTC.
    monday = datetime(2026, 10, 26, 4, 0, tzinfo=UTC)
    purchase(database, "1", monday - timedelta(seconds=1))
    purchase(database, "2", monday)
    purchase(database, "3", NOW, "c-2")
    send(database, Redeem(customer_id="c-1", points=30), NOW)
    held = send(database, Redeem(customer_id="c-1", points=50, hold=True), NOW)
    send(database, Redeem(customer_id="c-2", points=20, hold=True), NOW)
    send(database, Void(redemption_id=str(held["redemption_id"])), NOW)
    with database.engine.connect() as conn:
        figures = read_figures(conn, zone, NOW)
    assert figures.customers == 2
    assert figures.outstanding == 300 - 30
    assert figures.by_tier == {None: 300 - 30}
    assert (figures.awards, figures.redemptions) == (3, 3)
    assert len(figures.weeks) == WEEKS
    before, last = figures.weeks[-2:]
    assert (before.awarded, before.redeemed) == (100, 0)
    assert last.monday.isoformat() == "2026-10-26"
    # What was voided was not redeemed; what is held is.
    assert (last.awarded, last.redeemed) == (200, 50)
    assert sum(week.awarded for week in figures.weeks) == 300


def test_an_empty_shop_has_an_overview(owner: Browser) -> None:
    page = owner.get("/admin")
    assert page.status_code == 200
    assert "No scheduler takes the turns of:" in page.text
    assert "version 1" in page.text


def test_tells_what_waits_for_somebody(office: Office, stranger: Browser) -> None:
    purchase(office.database, "1", utc_now())
    with office.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job_runs (name, due_at, started_at, finished_at, ok, detail)"
                " VALUES ('expire', now(), now(), now(), false, '3 of 9 could not be settled')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at, closes_at)"
                " SELECT 'c-' || n, 'c-0', 'X', 'flagged', '[]', '{}', now(), now() FROM generate_series(1, 2) n"
            )
        )
    said = " ".join(unescape(re.sub(r"<[^>]+>", " ", stranger.sign_in("viewer").text)).split())
    assert "2 referrals wait for a judgement." in said
    assert "The job expire failed: 3 of 9 could not be settled" in said
    assert "Customers 1 " in said
    assert "Points outstanding 100 worth $1.00" in said


def test_points_are_worth_what_they_pay_in_each_tier(office: Office, stranger: Browser) -> None:
    tiers = [
        {"id": "bronze", "name": "Bronze"},
        {"id": "gold", "name": "Gold", "ways_in": [{"points": 100}], "redemption_value_pct": 150},
    ]
    publish_program(office, days=1, points={}, ladder={"tiers": tiers})
    for customer_id, minor in (("c-1", 50_00), ("c-2", 200_00)):
        bought = Purchase(type="purchase", order_id=customer_id, total_minor=minor, currency="GBP")
        send(office.database, Award(customer_id=customer_id, activity=bought), utc_now())
    # 50 pence of 50 points in the lower tier, and 3 pounds of 200 in the higher one.
    assert "worth £3.50" in stranger.sign_in("viewer").text


def test_the_figures_are_kept_for_a_moment(office: Office, owner: Browser) -> None:
    assert 'class="value">0</p>' in owner.get("/admin").text
    send(office.database, Adjust(customer_id="c-1", points=777, reason="A gift"), utc_now())
    assert "777" not in owner.get("/admin").text


def test_a_chart_has_its_figures_beside_it() -> None:
    rows = [Bar("26 Oct", "26 Oct 2026", (1_500, 0)), Bar("2 Nov", "2 Nov 2026", (0, 12_345_678))]
    chart = bar_chart(rows, "Points <a week>", series=("Awarded", "Redeemed"), heading="Week from")
    assert chart.count("<svg ") == 2
    assert chart.count('aria-label="Points &lt;a week&gt;"') == 2
    assert "12,345,678" in chart
    # One drawing for light and dark: it takes the page's colours and brings none of its own.
    assert set(re.findall(r'(?:fill|stroke)="([^"]*)"', chart)) <= {
        "none",
        "currentColor",
        "var(--rule)",
        "var(--edge)",
        "var(--chart-1)",
        "var(--chart-2)",
    }
    # Nothing that the pages' policy forbids.
    assert not re.search(r"<style|\sstyle=|<script|\son[a-z]+=|https?://(?!www.w3.org)", chart)
    bars = re.findall(r'd="M[^"]*v([\d.]+)h-[\d.]+Z" fill="var\(--chart-2\)"', chart)
    assert len(bars) >= 2


def test_a_chart_is_drawn_once() -> None:

    rows = [Bar(f"{week}", f"week {week}", (week,)) for week in range(40)]
    bar_chart(rows, "First", series=("Awarded",))
    began = time.perf_counter()
    bar_chart(rows, "Again", series=("Awarded",))
    assert time.perf_counter() - began < 0.02


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert "<svg " in bar_chart([Bar("1", "1", (0, 0))], "Nothing", series=("Awarded", "Redeemed"))
    assert "<svg " in bar_chart([], "Nothing at all", series=("Awarded",))


def test_a_name_that_no_drawing_can_have_does_not_end_the_process() -> None:
    assert "<svg " in bar_chart([Bar("a\x01\ufffe", "a", (1,))], "Odd", series=("Awarded",))
