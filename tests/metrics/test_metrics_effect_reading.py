"""Trials as the database has them: orders go in through the engine, exposures follow, and the effect comes out."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from metric_database import ACTOR, NOW, Purchased, commands_of, source_at, submit, tag
from metric_shops import source_of
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.decide.commands import Adjust, Assign, Redeem
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics.effect.by_arm import effect_by_survival
from rewards.metrics.effect.campaigns import campaign_effects
from rewards.metrics.effect.randomised import METRICS, effect, rows
from rewards.metrics.effect.reading import Missing, read_trial, trials_known
from rewards.metrics.effect.trial import Trial
from rewards.metrics.orders import day_number
from rewards.metrics.result import BadParameter
from rewards.program.document import ProgramDocument
from rewards.program.holdout import arm_of
from rewards.program.loading import load_text
from rewards.program.versions import load_history, publish
from rewards.segments.running import run_segments

SALT = "a salt that nobody knows".replace(" ", "-")
STARTS = datetime(2026, 1, 1, tzinfo=UTC)
(EFFECT,) = METRICS
PLAIN = """
schema_version: 1
name: Tea
currency: GBP
timezone: Europe/London
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
"""


def program(**others: Any) -> ProgramDocument:
    holdout = {
        "id": "start",
        "salt": SALT,
        "share_pct": 50,
        "starts_at": "2026-01-01",
        "eligible": "all",
    } | others
    terms = "\n".join(
        f"  {name}: {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in holdout.items()
    )
    return load_text(f"{PLAIN}holdout:\n{terms}\n")


def published(
    database: Database, document: ProgramDocument, since: datetime = datetime(1990, 1, 1, tzinfo=UTC)
) -> None:
    with database.engine.begin() as connection:
        publish(connection, document, effective_from=since, now=NOW, actor=ACTOR)


def bought(customers: int, seed: int = 1, share: float = 0.5, lift: float = 0.0) -> list[Purchased]:
    """Return orders of customers who came at any time: some before the trial, each again and again at a rate."""
    rng = np.random.default_rng(seed)
    orders = []
    for number in range(customers):
        customer = f"c-{number}"
        is_in = arm_of(SALT, customer, share * 100) == "program"
        day, rate = rng.uniform(-150, 150), rng.gamma(1.5, 0.012)
        while day < 280:
            at = STARTS + timedelta(days=day)
            total = int(rng.integers(200, 9_000))
            refunded = total if rng.uniform() < 0.03 else 0
            orders.append(Purchased(customer, f"o-{number}-{len(orders)}", at, total, refunded))
            faster = 1 + lift * (is_in and day > 0)
            day += rng.exponential(1 / max(rate * faster, 1e-3))
    return orders


def shop(database: Database, orders: Iterable[Purchased], **terms: Any) -> None:
    published(database, program(**terms))
    submit(database, commands_of(orders))
    refresh(database, NOW)


def trial_in(connection: Connection, as_of: date | None = None) -> Trial:
    trial = read_trial(source_at(connection, as_of))
    assert isinstance(trial, Trial)
    return trial


def test_a_trial_is_read_as_it_was_logged(database: Database) -> None:
    orders = bought(300)
    shop(database, orders)
    with database.engine.connect() as connection:
        trial = trial_in(connection)
        names = source_at(connection).store.names(trial.unit.tolist())
    # By a loop: who bought at or after the start, when first, in the arm of the lot.
    first: dict[str, datetime] = {}
    for each in orders:
        if each.at >= STARTS:
            first[each.customer] = min(each.at, first.get(each.customer, each.at))
    assert set(names) == set(first)
    assert trial.unit.tolist() == sorted(trial.unit.tolist())
    for place, name in enumerate(names):
        arm = arm_of(SALT, name, 50)
        assert trial.arm[place] == (arm == "program")
        assert trial.exposed_at[place] == (first[name] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
            microseconds=1
        )
        assert trial.enrolled[place] == (arm == "program")
    assert not trial.contaminated.any()
    assert trial.drawn.all()
    assert (trial.share, trial.primary, trial.ends_day, trial.planned_end) == (0.5, "repeat-rate", None, None)


def test_the_effect_comes_out_of_orders(database: Database) -> None:
    shop(database, bought(700, lift=1.5), planned_end="2026-10-01", primary="revenue-per-customer")
    with database.engine.connect() as connection:
        source = source_at(connection)
        result = EFFECT(source)
        assert result.value is not None
        assert result.interval is not None
        assert result.interval.low > 0
        assert result.unit == "minor"
        assert "the program raised it" in result.notes[0]
        assert [each.key for each in result.tables] == [
            "arms",
            "estimates",
            "outcomes",
            "over-time",
            "checks",
        ]
        listed = rows(source)
        counted = {arm: [row[3] for row in listed.rows if row[1] == arm] for arm in ("program", "holdout")}
        arms = {row[0]: row for row in result.tables[0].rows}
        for arm, found in counted.items():
            assert arms[arm][1] == len(found)
            assert abs(arms[arm][2] - sum(found)) < 1e-6
        waits = effect_by_survival(source, within=60)
        assert waits.value is not None
        assert waits.value < 0


def test_the_day_is_that_of_the_shop(database: Database) -> None:
    late = datetime(2026, 6, 30, 23, 30, tzinfo=UTC)  # already July in London
    shop(database, [Purchased("c-1", "o-1", late, 500)])
    with database.engine.connect() as connection:
        assert trial_in(connection).exposed_day.tolist() == [day_number(date(2026, 7, 1))]


def test_one_person_in_both_arms_is_left_out_and_counted(database: Database) -> None:
    arms = {
        arm: [f"c-{n}" for n in range(60) if arm_of(SALT, f"c-{n}", 50) == arm]
        for arm in ("program", "holdout")
    }
    orders = [Purchased(f"c-{n}", f"o-{n}", STARTS + timedelta(days=n), 500) for n in range(60)]
    shop(database, orders)
    inside, outside = arms["program"], arms["holdout"]
    with database.engine.begin() as connection:
        set_identity(connection, inside[0], outside[0], actor=ACTOR, now=NOW)
        set_identity(connection, inside[1], inside[2], actor=ACTOR, now=NOW)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection)
        trial = trial_in(connection)
        names = source.store.names(trial.unit.tolist())
    assert trial.merged_across_arms == 1
    assert len(names) == 60 - 2 - 1
    assert not {inside[0], outside[0], inside[1]} & set(names)
    both = int(trial.exposed_at[names.index(inside[2])]) // 86_400_000_000
    sooner = min(int(inside[1][2:]), int(inside[2][2:]))
    assert both == day_number(date(2026, 1, 1)) + sooner


def test_test_and_staff_accounts_are_in_no_trial(database: Database) -> None:
    shop(database, [Purchased(f"c-{n}", f"o-{n}", STARTS + timedelta(days=n), 500) for n in range(5)])
    tag(database, "c-2", ["staff"])
    refresh(database, NOW)
    with database.engine.connect() as connection:
        names = source_at(connection).store.names(trial_in(connection).unit.tolist())
    assert sorted(names) == ["c-0", "c-1", "c-3", "c-4"]


def test_assigned_customers_and_points_by_hand_are_known(database: Database) -> None:
    outside = [f"c-{n}" for n in range(40) if arm_of(SALT, f"c-{n}", 50) == "holdout"]
    published(database, program())
    assign = Assign(customer_id="c-x", experiment_id="start", arm="holdout", assigned_at=STARTS)
    submit(database, [(assign, "assign-1")])
    orders = [Purchased(f"c-{n}", f"o-{n}", STARTS + timedelta(days=n), 500) for n in range(40)]
    submit(database, commands_of([*orders, Purchased("c-x", "o-x", STARTS + timedelta(days=3), 900)]))
    submit(database, [(Adjust(customer_id=outside[0], points=5, reason="sorry"), "adjust-1")])
    refresh(database, NOW)
    with database.engine.connect() as connection:
        trial = trial_in(connection)
        names = source_at(connection).store.names(trial.unit.tolist())
    assert [name for name, drawn in zip(names, trial.drawn, strict=True) if not drawn] == ["c-x"]
    assert [name for name, spoilt in zip(names, trial.contaminated, strict=True) if spoilt] == [outside[0]]


def test_the_margin_knows_what_was_redeemed(database: Database) -> None:
    published(database, program())
    inside = next(f"c-{n}" for n in range(40) if arm_of(SALT, f"c-{n}", 50) == "program")
    later = STARTS + timedelta(days=3)
    orders = [
        Purchased(inside, "o-1", STARTS, 50_000),
        Purchased(inside, "o-2", STARTS + timedelta(days=2), 9_000),
    ]
    submit(database, commands_of(orders), later)
    submit(database, [(Redeem(customer_id=inside, points=100), "redeem-1")], later)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection)
        trial = read_trial(source, with_redeemed=True)
        assert isinstance(trial, Trial)
        assert trial.redeemed is not None
        (worth,) = connection.execute(text("SELECT value_minor FROM redemptions")).scalars()
        assert worth > 0
        assert trial.redeemed.worth.tolist() == [worth]
        assert trial.redeemed.day.tolist() == [day_number(date(2026, 1, 4))]
        listed = rows(source, outcome="margin-per-customer", margin=0.5)
        assert listed.rows[0][3] == 4_500 - worth
        with pytest.raises(BadParameter, match="needs margin"):
            EFFECT(source, outcome="margin-per-customer")


def test_a_staggered_start_ends_when_the_rest_joins(database: Database) -> None:
    shop(
        database, bought(400), ends_at="2026-05-01", staggered=True,
        share_pct=50, primary="repeat-rate-90d",
    )  # fmt: skip
    with database.engine.connect() as connection:
        trial = trial_in(connection)
        assert trial.is_staggered
        assert trial.ends_day == trial.registered_end == day_number(date(2026, 5, 1))
        assert trial.exposed_day.max() < trial.ends_day
        assert not trial.contaminated.any()  # what the holdout earned after it joined is no contamination
        result = effect(source_at(connection), smallest=0.1)
        assert result.value is not None
        assert any("one look at the end" in note for note in result.notes)
        assert effect(source_at(connection, date(2026, 9, 1))).value == result.value


def test_a_version_without_the_holdout_ends_it(database: Database) -> None:
    shop(database, bought(50))
    published(database, load_text(PLAIN), since=datetime(2026, 8, 1, tzinfo=UTC))
    refresh(database, NOW)
    with database.engine.connect() as connection:
        assert trial_in(connection).ends_day == day_number(date(2026, 8, 1))


def test_why_there_is_no_trial(database: Database) -> None:
    refresh(database, NOW)
    with database.engine.connect() as connection:
        none = read_trial(source_at(connection))
        assert isinstance(none, Missing)
        assert none.reason.startswith("The program has no holdout")
        result = EFFECT(source_at(connection))
        assert (result.value, result.reason_if_null) == (None, none.reason)
    published(database, program(starts_at="2027-01-01"))
    refresh(database, NOW)
    with database.engine.connect() as connection:
        later = read_trial(source_at(connection))
        assert isinstance(later, Missing)
        assert later.reason == "The holdout start begins after 2026-10-31."
        unknown = read_trial(source_at(connection), "other")
        assert isinstance(unknown, Missing)
        assert unknown.reason == "There is no trial other; there are: start."
        assert [each.experiment_id for each in trials_known(load_history(connection))] == ["start"]
        assert rows(source_at(connection)).rows == ()


def test_campaigns_have_effects_of_their_own(database: Database) -> None:
    campaigns = """
segments: [{id: lapsed, when: customer.days_since_last_purchase > 60}]
campaigns:
- {id: come-back, segment: lapsed, holdout_pct: 50, salt: a-salt-of-sixteen-or-more, from: '2026-03-01'}
- {id: for-all, segment: lapsed, holdout_pct: 0, salt: another-salt-of-sixteen, from: '2026-03-01'}
"""
    document = load_text(PLAIN + campaigns)
    published(database, document)
    nobody = campaign_effects(source_of([], date(2026, 10, 1)), "repeat-rate", 30)
    assert nobody.reason_if_null == "Who was offered what is only known in the shop's database."
    names = [f"c-{n}" for n in range(300)]
    submit(database, commands_of([Purchased(name, f"o-{name}", STARTS, 500) for name in names]))
    refresh(database, NOW)
    drawn_at = STARTS + timedelta(days=80)
    run_segments(database, drawn_at)
    arms = {name: arm_of("a-salt-of-sixteen-or-more", name, 50) for name in names}
    again = [
        Purchased(name, f"p-{name}", drawn_at + timedelta(days=5 + n % 7), 900)
        for n, name in enumerate(names)
        if n % 10 < (6 if arms[name] == "program" else 3)
    ]
    submit(database, commands_of(again))
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection)
        result = campaign_effects(source, "repeat-rate", 30)
        (table,) = result.tables
        keys = [column.key for column in table.columns]
        told = {row[0]: dict(zip(keys, row, strict=True)) for row in table.rows}
        assert result.value == 1
        assert told["for-all"]["says"] == "Everybody was offered it, so that there is nobody to compare with."
        one = told["come-back"]
        inside = [name for name in names if arms[name] == "program"]
        assert (one["offered"], one["held_out"]) == (len(inside), 300 - len(inside))
        counted = {arm: sum(arms[each.customer] == arm for each in again) for arm in ("program", "holdout")}
        raw = counted["program"] / len(inside) - counted["holdout"] / (300 - len(inside))
        assert one["difference"] == pytest.approx(raw)  # nobody's past differs
        assert "the offer raised it" in one["says"]
        single = EFFECT(source, experiment="come-back", days=30)
        assert single.value == one["difference"]
        assert "the offer raised it" in single.notes[0]
        # Without a holdout of the program there is no effect of it.
        assert EFFECT(source).value is None
