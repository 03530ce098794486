"""Who would move: figures worked out by hand, that nothing is written, and that publishing does what was previewed."""

from datetime import datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from tiers_shop import DAY, HIGHER, LADDER, NOW, Shop, document

from rewards.applying.kept import MOST_KEPT, keep_moves, moves_after, moves_page, read_moves
from rewards.applying.progress import Application, read_application
from rewards.applying.publishing import as_expected, publish_expected
from rewards.core.database import Database
from rewards.core.errors import PreviewOutdated
from rewards.decide.commands import GrantStanding
from rewards.decide.submission import Submission
from rewards.ledger.tables import SQLModel
from rewards.preview.moves import MovesReport, preview_moves
from rewards.preview.report import Change
from rewards.program.document import ProgramDocument
from tiers.preview import Moved

RAISED = """
ladder:
  tiers:
  - {id: bronze, name: Bronze}
  - {id: silver, name: Silver, ways_in: [{points: 150}], earn_multiplier_pct: 150, redemption_value_pct: 120}
  - {id: gold, name: Gold, ways_in: [{points: 300}], earn_multiplier_pct: 200}
"""


def preview(
    database: Database, draft: ProgramDocument, now: datetime = NOW, effective_from: datetime | None = None
) -> MovesReport:
    with database.engine.connect() as conn:
        report = preview_moves(conn, draft, now=now, effective_from=effective_from)
    assert report is not None
    return report


def publish_it(
    shop: Shop, draft: ProgramDocument, digest: str, now: datetime, effective_from: datetime | None = None
) -> int:
    expected = as_expected(shop.database, draft, digest=digest, now=now, effective_from=effective_from)
    with shop.database.engine.begin() as conn:
        return publish_expected(conn, draft, expected, actor="tests").version


def application(shop: Shop, version: int) -> Application:
    with shop.database.engine.connect() as conn:
        found = read_application(conn, version)
    assert found is not None
    return found


def contents(database: Database) -> dict[str, str]:
    """A hash of all that is in each table."""
    with database.engine.connect() as conn:
        return {
            table: sha256(
                str(conn.execute(text(f"SELECT t::text FROM {table} AS t ORDER BY 1")).all()).encode()
            ).hexdigest()
            for table in SQLModel.metadata.tables
        }


# What is told.


def test_figures_are_those_worked_out_by_hand(database: Database) -> None:
    shop = Shop(database, LADDER)
    for name, pounds in (("ann", 120), ("bob", 20), ("cy", 400), ("di", 160)):
        shop.buy(name, pounds, NOW - 9 * DAY)
    # More than a year ago, so that it is no purchase of a year.
    shop.buy("ed", 110, NOW - 400 * DAY)
    report = preview(database, document(RAISED))
    assert report.moved == [Moved("ann", "silver", "bronze", None), Moved("ed", "bronze", "bronze", None)][:1]
    assert (report.customers, report.up, report.down) == (5, 0, 1)
    told = report.as_json()
    assert told["matrix"] == [
        {"from": "bronze", "to": "bronze", "customers": 2},
        {"from": "silver", "to": "bronze", "customers": 1},
        {"from": "silver", "to": "silver", "customers": 1},
        {"from": "gold", "to": "gold", "customers": 1},
    ]
    assert (told["moved"], told["unchanged"]) == (1, 4)
    assert told["tiers"] == [{"id": each.lower(), "name": each} for each in ("Bronze", "Silver", "Gold")]
    # A point is worth a penny, and a fifth more to those in silver: di's 160.
    assert report.outstanding_points == 120 + 20 + 400 + 160 + 110
    assert report.value_minor == Change(810, 810 + 32)
    # Half as much again for di's 160, as much again for cy's 400; before there were no multipliers.
    assert report.year_points == Change(0, 80 + 400)
    assert report.digest.startswith("1-")
    assert report.listed(10) == [{"customer_id": "ann", "from": "silver", "to": "bronze", "until": None}]


def test_a_first_ladder_places_everyone_and_none_takes_them_all_off(database: Database) -> None:
    shop = Shop(database)
    shop.buy("ann", 120, NOW - 9 * DAY)
    report = preview(database, document(LADDER))
    [ann] = report.moved
    assert (ann.from_tier, ann.to_tier, report.up) == (None, "silver", 1)
    shop.publish(LADDER, NOW - DAY)
    assert [(each.from_tier, each.to_tier) for each in preview(database, document()).moved] == [
        ("silver", None)
    ]


def test_a_shop_without_ladders_has_nobody_to_move(database: Database) -> None:
    shop = Shop(database)
    shop.buy("ann", 120, NOW - 9 * DAY)
    with database.engine.connect() as conn:
        assert preview_moves(conn, document(), now=NOW) is None
    with pytest.raises(PreviewOutdated, match="There is no ladder"):
        as_expected(database, document(), digest="0-x", now=NOW)


def test_what_is_granted_by_hand_holds(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.buy("ann", 120, NOW - 9 * DAY)
    grant = GrantStanding(customer_id="ann", tier="gold", until=NOW + 90 * DAY, reason="a friend")
    [answer] = shop.engine.execute([Submission(grant, None, "tests")], NOW - DAY)
    assert answer.status == 200, answer.body
    assert preview(database, document(HIGHER)).moved == []
    later = preview(database, document(HIGHER), effective_from=NOW + 100 * DAY)
    assert [(each.from_tier, each.to_tier) for each in later.moved] == [("silver", "bronze")]


def test_nothing_is_written(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.crowd(40)
    before = contents(database)
    assert preview(database, document(HIGHER)).moved
    assert contents(database) == before


def test_many_are_read_in_portions(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(database, LADDER)
    shop.crowd(60)
    whole = preview(database, document(HIGHER))
    monkeypatch.setattr("rewards.preview.moves._CUSTOMERS_AT_ONCE", 7)
    seen: list[int] = []
    with database.engine.connect() as conn:
        report = preview_moves(
            conn, document(HIGHER), now=NOW, progress=lambda _stage, done, _of: seen.append(done)
        )
    assert report is not None
    assert (report.moved, report.digest, report.matrix) == (whole.moved, whole.digest, whole.matrix)
    assert seen == [7, 14, 21, 28, 35, 42, 49, 56, 60]


# What publishing does of it.

WINDOWS = (
    "{type: lifetime}",
    "{type: rolling, period: P6M}",
    "{type: rolling, period: P12M}",
    "{type: calendar, unit: year}",
    "{type: calendar, unit: quarter}",
    "{type: anniversary}",
)


def random_ladder(random: Random) -> str:
    window = random.choice(WINDOWS)
    lasts = [
        "{type: for_ever}",
        "{type: after, period: P3M}",
        "{type: after, period: P12M, round_up_to: month}",
    ]
    lasts += ["{type: while_qualified}"] if "rolling" in window else []
    lasts += ["{type: period_end}"] if "calendar" in window or "anniversary" in window else []
    tiers = ["bronze", *random.sample(["silver", "gold", "black"], random.randrange(1, 4))]
    least = sorted(random.sample(range(40, 500), len(tiers)))
    rows = []
    for number, (tier, points) in enumerate(zip(tiers, least, strict=True)):
        ways = f", ways_in: [{{points: {points}}}, {{orders: {points // 60 + 2}}}]"
        keeps = ", never_downgrade: true" if random.random() < 0.1 else ""
        rows.append(
            f"  - {{id: {tier}, name: {tier}{ways if number or random.random() < 0.3 else ''}{keeps}}}"
        )
    return "\n".join(
        [
            "ladder:",
            f"  window: {window}",
            f"  lasts: {random.choice(lasts)}",
            f"  downgrade: {{to: {random.choice(('one_lower, grace: P1M', 'qualified', 'first', 'none'))}}}",
            f"  edits: {random.choice(('requalify', 'requalify', 'raise_only'))}",
            f"  refunds: {random.choice(('lower', 'keep'))}",
            "  tiers:",
            *rows,
        ]
    )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_published_is_what_was_previewed(database: Database, seed: int) -> None:
    random = Random(seed)
    shop = Shop(database, random_ladder(random) if seed % 3 else "")
    shop.crowd(80, seed)
    now = NOW
    for _ in range(3):
        now += random.randrange(1, 60) * DAY
        starts_at = random.choice((None, None, now + 5 * DAY))
        draft = document(random_ladder(random))
        before = preview(database, draft, now, starts_at)
        version = publish_it(shop, draft, before.digest, now, starts_at)
        # Somebody buys before the job comes by: a command brings that customer up, and the job the others.
        now = (starts_at or now) + timedelta(minutes=5)
        shop.buy(f"c-{random.randrange(80):05d}", 3, now)
        shop.job(now)
        done = application(shop, version)
        assert (done.state, done.otherwise, done.examples) == ("done", 0, [])
        assert done.moved == len(before.moved)
        tiers = shop.tiers()
        brought = {each.customer_id: each.to_tier for each in before.moved}
        assert sum(tiers[customer_id] == tier for customer_id, tier in brought.items()) >= len(brought) - 1
    shop.check()


def test_a_ladder_in_force_since_before_is_as_previewed_too(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.crowd(40)
    shop.job(NOW - timedelta(hours=1))
    draft = document(HIGHER)
    before = preview(database, draft, NOW, NOW - 300 * DAY)
    assert before.moved
    version = publish_it(shop, draft, before.digest, NOW, NOW - 300 * DAY)
    shop.job(NOW + timedelta(minutes=1))
    done = application(shop, version)
    assert (done.moved, done.otherwise) == (len(before.moved), 0)
    shop.check()


def test_who_moves_otherwise_is_counted_and_named(database: Database) -> None:
    shop = Shop(database, LADDER)
    for name in ("ann", "bob"):
        shop.buy(name, 120, NOW - 9 * DAY)
    draft = document(HIGHER)
    version = publish_it(shop, draft, preview(database, draft).digest, NOW)
    # An order of last week that the shop sends only now: with it bob had enough.
    shop.buy("bob", 60, NOW - 5 * DAY, now=NOW + timedelta(minutes=1))
    detail = shop.job(NOW + timedelta(minutes=5))
    assert "1 customer moved otherwise than previewed, because something happened" in detail
    done = application(shop, version)
    assert done.examples == [
        {"customer_id": "bob", "previewed": {"from": "silver", "to": "bronze"}, "moved": None}
    ]
    shop.check()


def test_what_is_no_longer_as_previewed_is_not_published(database: Database) -> None:
    shop = Shop(database, LADDER)
    for name in ("ann", "bob"):
        shop.buy(name, 120, NOW - 9 * DAY)
    draft = document(HIGHER)
    before = preview(database, draft)
    shop.buy("bob", 60, NOW - DAY)
    with pytest.raises(
        PreviewOutdated, match=r"^2 customers were previewed to move, 1 would move now, and not the same"
    ):
        publish_it(shop, draft, before.digest, NOW)
    with database.engine.begin() as conn:
        keep_moves(conn, before)
    with pytest.raises(
        PreviewOutdated, match=r"^1 customer would now move otherwise than was previewed; 1 would move"
    ):
        publish_it(shop, draft, before.digest, NOW)
    with database.engine.connect() as conn:
        assert conn.scalar(text("SELECT count(*) FROM ladder_applications")) == 0
    assert publish_it(shop, draft, preview(database, draft).digest, NOW)


def test_a_program_with_the_same_ladder_has_nothing_to_apply(database: Database) -> None:
    shop = Shop(database, LADDER)
    shop.buy("ann", 120, NOW - 9 * DAY)
    draft = document(LADDER, "- {id: more, activity: signup, gives: {type: fixed, points: 5}}")
    version = publish_it(shop, draft, preview(database, draft).digest, NOW)
    with database.engine.connect() as conn:
        assert read_application(conn, version) is None
    assert shop.job(NOW + DAY) == "0 customers settled"


# What is kept.


def test_previews_are_kept_page_by_page_and_the_old_are_forgotten(database: Database) -> None:
    shop = Shop(database)
    shop.crowd(30)
    report = preview(database, document(LADDER))
    with database.engine.begin() as conn:
        preview_id = keep_moves(conn, report)
        kept = read_moves(conn, preview_id)
        assert kept is not None
        assert (kept.digest, kept.report) == (report.digest, report.as_json())
        assert [Moved(**_moved(each)) for each in moves_after(conn, preview_id, "", 100)] == report.moved
        page = moves_page(conn, preview_id, most=10, skip=10)
        assert [each["customer_id"] for each in page] == [each.customer_id for each in report.moved[10:20]]
        only = moves_page(conn, preview_id, most=100, step=(None, "gold"))
        assert len(only) == report.matrix[None, "gold"]
    with database.engine.begin() as conn:
        for _ in range(MOST_KEPT):
            keep_moves(conn, preview(database, document(LADDER), NOW + DAY))
        assert read_moves(conn, preview_id) is None
        assert conn.scalar(text("SELECT count(DISTINCT preview_id) FROM previewed_moves")) == MOST_KEPT


def _moved(row: Any) -> dict[str, Any]:
    return {
        "customer_id": row["customer_id"],
        "from_tier": row["from_tier"],
        "to_tier": row["to_tier"],
        "until": row["until"],
    }
