"""Engagement: who did anything, counted by hand, in a shop whose customers do all that counts."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_database import NOW, Purchased, load_shop, source_at, submit, tag
from metric_shops import random_orders, source_of

from rewards.core.database import Database
from rewards.decide.commands import Award, Custom, Redeem, Referral, Retract, Review, Signup
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics import engagement
from rewards.metrics.engagement import WEIGHTS, engagement_rows, weights_of
from rewards.metrics.result import BadParameter

METRIC = engagement.METRICS[0]
#: The 90 days up to 31 October begin on 3 August.
LATE = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
EARLY = datetime(2026, 8, 2, 12, 0, tzinfo=UTC)


def did(customer: str, at: datetime, activity: Any, key: str) -> tuple[Any, str]:
    return Award(customer_id=customer, occurred_at=at, activity=activity), key


def test_everything_that_counts_is_counted_once(database: Database) -> None:
    load_shop(
        database,
        [
            Purchased("ann", "1", LATE, 50_000),
            Purchased("ann", "2", LATE, 100),  # the same day
            Purchased("bob", "3", EARLY, 900),  # too long ago
            Purchased("eve", "4", LATE, 900),  # staff
            Purchased("joe", "5", datetime(2026, 11, 1, 9, 0, tzinfo=UTC), 900),  # after as_of
        ],
    )
    submit(
        database,
        [
            did("ann", LATE, Review(type="review", subject="TEA"), "r1"),
            did("bob", LATE, Custom(type="custom", name="app"), "c1"),
            did("bob", LATE, Custom(type="custom", name="app"), "c2"),
            did("cid", LATE, Signup(type="signup"), "s1"),
            did("dan", EARLY, Signup(type="signup"), "s2"),
            did("fay", LATE, Review(type="review", subject="TEA"), "r2"),
            did("ann-2", LATE, Review(type="review", subject="CUP"), "r3"),
            did("eve", LATE, Review(type="review", subject="TEA"), "r4"),
            did("ann", LATE, Referral(type="referral", referred_customer_id="cid"), "f1"),
            (Retract(customer_id="fay", activity_key="review:TEA"), "t1"),
            (Redeem(customer_id="ann", points=100), "d1"),
        ],
        NOW,
    )
    tag(database, "eve", ["staff"])
    with database.engine.begin() as connection:
        set_identity(connection, "ann-2", "ann", actor="test", now=NOW)
    refresh(database, NOW)
    with database.engine.connect() as connection:
        source = source_at(connection)
        result = METRIC(source)
        listed = {row[0]: row for row in engagement_rows(source, 90, None).rows}
        columns = [column.key for column in engagement_rows(source, 90, None).columns]
        # NOW is after as_of, so the redemption is not in it.
        assert (result.numerator, result.denominator) == (3, 5)  # ann, bob, cid of those and dan, fay
        assert set(listed) == {"ann", "bob", "cid"}
        ann = dict(zip(columns, listed["ann"], strict=True))
        assert (ann["purchase"], ann["review"], ann["referral"], ann["score"]) == (1, 2, 1, 5 + 2 * 2 + 3)
        bob = dict(zip(columns, listed["bob"], strict=True))
        assert (bob["custom"], bob["score"]) == (2, 2)
        assert [ann["percentile"], bob["percentile"]] == [4 / 5, 3 / 5]
        assert result.interval is not None
        only = METRIC(source, weights="review=1")
        assert (only.numerator, only.denominator) == (1, 5)
        later = source_at(connection, date(2026, 11, 1))
        actions = {row[0]: row[2] for row in METRIC(later).tables[0].rows}
        assert (actions["Redemptions"], actions["Days with a purchase"]) == (1, 2)


@given(st.integers(0, 10_000), st.integers(1, 400))
@settings(max_examples=20, deadline=None)
def test_without_a_database_it_is_the_buyers_of_the_window(seed: int, days: int) -> None:
    rows = random_orders(seed, customers=30)
    as_of = date(2025, 12, 1)
    known = {row.customer for row in rows if row.at.date() <= as_of}
    bought: dict[int, set[date]] = {}
    for row in rows:
        if 0 <= (as_of - row.at.date()).days < days:
            bought.setdefault(row.customer, set()).add(row.at.date())
    source = source_of(rows, as_of)
    result = METRIC(source, days=days)
    assert (result.numerator, result.denominator) == (len(bought), len(known))
    assert any("Only purchases" in note for note in result.notes)
    listed = {row[0]: (row[1], row[2]) for row in engagement_rows(source, days, None).rows}
    score = {customer: 5.0 * len(each) for customer, each in bought.items()}
    assert listed == {
        f"c-{customer}": (
            mine,
            pytest.approx(sum(score.get(other, 0) < mine for other in known) / len(known), abs=1e-6),
        )
        for customer, mine in score.items()
    }


def test_nobody_is_no_rate_but_a_reason() -> None:
    result = METRIC(source_of([], date(2025, 12, 1)))
    assert result.value is None
    assert result.reason_if_null == "No customer is known up to 2025-12-01."


def test_weights_are_read_or_refused() -> None:
    assert weights_of(None) == WEIGHTS
    assert weights_of("purchase=5, review = 0.5") == {"purchase": 5, "review": 0.5}
    for wrong in ("visits=1", "review", "review=x", "review=-1", "review=nan", "review=0", ""):
        with pytest.raises(BadParameter):
            weights_of(wrong)


def test_what_the_default_weights_are_is_told() -> None:
    assert "purchase=5" in METRIC.parameters[1].help
