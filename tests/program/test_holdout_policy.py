"""The holdout in the document, its lots, and what of it may change once it was published."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import sqrt
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sample_programs import program, program_data, rule

from rewards.program.differences import history_differences
from rewards.program.drafts import Checked, check_against, document_data
from rewards.program.experiments import holdout_runs, unchangeable
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.holdout import (
    arm_in,
    arm_of,
    assigned_arm,
    experiment_of,
    lots_below,
    new_salt,
    participation,
    with_arm,
)
from rewards.program.loading import ProgramInvalid, cautions_of, parse_document, to_yaml
from rewards.program.loading import load_text as load

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SALT = "a-salt-of-the-tests"
HOLDOUT = {"id": "spring", "salt": SALT, "share_pct": 12.5, "starts_at": "2026-03-01"}


def held(**parts: Any) -> dict[str, Any]:
    return {**HOLDOUT, **parts}


def document(holdout: dict[str, Any] | None, **sections: Any) -> Any:
    return program(holdout=holdout, no_holdout=None, **sections)


def wrong(**sections: Any) -> list[str]:
    with pytest.raises(ProgramInvalid) as invalid:
        parse_document(program_data(**{"no_holdout": None, **sections}))
    return [str(error) for error in invalid.value.errors]


def test_a_holdout_is_read_and_written() -> None:
    made = document(
        held(ends_at="2026-09-01T06:00", planned_end="2026-08-01", staggered=True, eligible="all")
    )
    assert load(to_yaml(made)) == made
    assert parse_document(document_data(made)) == made
    terms = made.experiment
    assert terms is not None
    assert (terms.share, terms.is_for_all, terms.staggered) == (1250, True, True)
    # On the program's clocks: in London it is summer by then.
    assert terms.starts_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert terms.ends_at == datetime(2026, 9, 1, 5, tzinfo=UTC)
    assert terms.planned_end == datetime(2026, 7, 31, 23, tzinfo=UTC)
    (change,) = history_differences(document(held(share_pct=10)), document(held(share_pct=12.5)))
    assert change == "holdout.share_pct: 10.0 → 12.5"


@pytest.mark.parametrize(
    ("parts", "path", "message"),
    [
        ({"salt": "too short"}, "salt", "16 to 100"),
        ({"salt": "with a blank in it, and long"}, "salt", "without blanks"),
        ({"share_pct": 0}, "share_pct", "more than 0 and less than 100"),
        ({"share_pct": 100}, "share_pct", "more than 0 and less than 100"),
        ({"share_pct": 12.345}, "share_pct", "two decimals"),
        ({"share_pct": float("nan")}, "share_pct", "more than 0"),
        ({"share_pct": "10"}, "share_pct", "must be a number, not '10'"),
        ({"share_pct": True}, "share_pct", "must be a number, not true"),
        ({"starts_at": "soon"}, "starts_at", "is not a day or local time"),
        ({"ends_at": "2026-03-01"}, "ends_at", "nobody would ever be held out"),
        ({"planned_end": "2026-02-01"}, "planned_end", "no later than `starts_at`"),
        ({"planned_end": "2026-10-01", "ends_at": "2026-09-01"}, "planned_end", "everybody takes part"),
        ({"staggered": True}, "staggered", "needs `ends_at`"),
        ({"primary": "profit"}, "primary", "repeat-rate-90d, revenue-per-customer"),
        ({"id": "two words"}, "id", "is not an id"),
        ({"shares": 1}, "shares", "did you mean 'share_pct'"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(parts: dict[str, Any], path: str, message: str) -> None:
    (error,) = wrong(holdout=held(**parts))
    assert error.startswith(f"holdout.{path}: ")
    assert message in error


def test_a_holdout_and_a_reason_for_none_exclude_each_other() -> None:
    (error,) = wrong(holdout=HOLDOUT, no_holdout="We may not")
    assert error == "no_holdout: says why there is no holdout, and there is one; leave one of the two out"


def test_no_rule_is_called_like_the_reason_for_nothing() -> None:
    (error,) = wrong(holdout=HOLDOUT, earn=[rule("holdout", type="fixed", points=1)])
    assert error.startswith("holdout: a rule has the id 'holdout'")
    program(no_holdout="Nobody is held out", earn=[rule("holdout", type="fixed", points=1)])


@pytest.mark.parametrize("name", ["id", "salt"])
def test_a_campaign_draws_lots_of_its_own(name: str) -> None:
    segment = {"id": "gone", "when": "customer.days_since_last_purchase > 90"}
    campaign = {
        "id": "back",
        "segment": "gone",
        "salt": "the salt of a campaign".replace(" ", "-"),
        "from": "2026-04-01",
    }
    same = {**campaign, name: HOLDOUT[name]}
    (error,) = wrong(holdout=HOLDOUT, segments=[segment], campaigns=[same])
    assert (
        error
        == f"holdout.{name}: the campaign {same['id']!r} has the same {name}; each experiment needs its own"
    )


def test_a_program_that_says_neither_is_warned_of() -> None:
    (caution,) = cautions_of(program(no_holdout=None), NOW)
    assert caution.path == "holdout"
    assert "say why in `no_holdout`" in caution.message
    assert cautions_of(program(no_holdout="Too small a shop"), NOW) == []
    assert cautions_of(document(HOLDOUT), NOW) == []
    assert cautions_of(program(no_holdout=None, earn=[]), NOW) == []


# -- lots ----------------------------------------------------------------------------------------------------


def test_the_lot_is_what_the_guide_says() -> None:
    """Worked out by itself, from the words of docs/guides/holdout.md."""
    for number in range(2_000):
        unit = f"customer-{number}"
        first = sha256(f"{SALT}:{unit}".encode()).hexdigest()[:16]
        expected = "holdout" if int(first, 16) / 2**64 < 0.125 else "program"
        assert arm_of(SALT, unit, 12.5) == expected


@pytest.mark.parametrize("share_pct", [0.01, 1, 10, 33.33, 50, 99.99])
def test_the_share_is_as_it_was_asked_for(share_pct: float) -> None:
    count, share = 40_000, share_pct / 100
    drawn = sum(arm_of(SALT, f"c-{number}", share_pct) == "holdout" for number in range(count))
    # Five standard errors: a right draw is outside once in two million runs, and this one is always the same.
    assert abs(drawn - count * share) < 5 * sqrt(count * share * (1 - share)) + 1


def test_another_salt_draws_independently() -> None:
    both = sum(
        arm_of(SALT, f"c-{number}", 50) == arm_of("another-salt-of-it", f"c-{number}", 50)
        for number in range(10_000)
    )
    assert abs(both - 5_000) < 5 * 50


@given(st.text(max_size=30), st.integers(1, 9_999), st.integers(1, 9_999))
def test_who_is_held_out_of_a_share_is_held_out_of_a_larger_one(unit: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if arm_of(SALT, unit, small / 100) == "holdout":
        assert arm_of(SALT, unit, large / 100) == "holdout"


@given(st.text(max_size=30), st.integers(1, 9_999))
def test_bytes_compare_as_the_lot_does(unit: str, share: int) -> None:
    lot = sha256(f"{SALT}:{unit}".encode()).digest()[:8]
    assert (lot < lots_below(share)) == (arm_of(SALT, unit, share / 100) == "holdout")


def test_salts_are_fresh() -> None:
    salts = {new_salt() for _ in range(100)}
    assert len(salts) == 100
    for salt in salts:
        document(held(salt=salt))


# -- who takes part ------------------------------------------------------------------------------------------


def test_only_new_customers_are_drawn_unless_all_are() -> None:
    new = experiment_of(document(held(share_pct=99.99)).holdout, ZoneInfo("UTC"))
    everybody = experiment_of(document(held(share_pct=99.99, eligible="all")).holdout, ZoneInfo("UTC"))
    before, after = new.starts_at - DAY, new.starts_at + DAY
    assert arm_in(new, "c", after, None, NOW) == "holdout"
    assert arm_in(new, "c", None, None, NOW) == "holdout"
    assert arm_in(new, "c", before, None, NOW) is None
    assert arm_in(everybody, "c", before, None, NOW) == "holdout"


def test_what_was_assigned_goes_before_the_lot_from_then_on() -> None:
    terms = experiment_of(document(held(share_pct=99.99)).holdout, ZoneInfo("UTC"))
    arms = with_arm(with_arm(None, "other", "holdout", NOW - DAY), "spring", "program", NOW)
    assert arm_in(terms, "c", terms.starts_at - DAY, arms, NOW) == "program"
    assert arm_in(terms, "c", terms.starts_at, arms, NOW - DAY) == "holdout"
    assert (assigned_arm(arms, "other"), assigned_arm(arms, "third")) == ("holdout", None)
    told = participation(terms, "c", terms.starts_at, arms, NOW).told()
    assert told == {"status": "enrolled", "experiment_id": "spring", "arm": "program"}
    assert participation(terms, "c", None, None, terms.starts_at - DAY).told()["experiment_id"] is None


# -- over the versions ---------------------------------------------------------------------------------------


def history(*versions: tuple[Any, datetime]) -> ProgramHistory:
    return ProgramHistory(
        ProgramVersion(number, made, at, at, "test") for number, (made, at) in enumerate(versions, 1)
    )


def test_runs_are_when_a_version_with_it_is_in_force() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    without = program()
    of = document(held())
    ended = document(held(ends_at="2026-10-01"))
    programs = history(
        (without, start - 100 * DAY),
        (of, start + 9 * DAY),
        (document(held(), name="Renamed"), start + 20 * DAY),
        (without, start + 30 * DAY),
        (ended, start + 40 * DAY),
    )
    (run,) = holdout_runs(programs)
    assert [tuple(span) for span in run.spans] == [
        (start + 9 * DAY, start + 30 * DAY),
        (start + 40 * DAY, datetime(2026, 9, 30, 23, tzinfo=UTC)),
    ]
    assert run.exposes_until == datetime(2026, 9, 30, 23, tzinfo=UTC)
    (first,) = holdout_runs(history((of, start + 50 * DAY)))
    assert [tuple(span) for span in first.spans] == [(start, None)]
    (never,) = holdout_runs(history((of, start - DAY), (without, start)))
    assert never.spans == ()


BEFORE_IT, WHILE_IT, AFTER_IT = (datetime(2026, month, 15, tzinfo=UTC) for month in (2, 5, 11))


@pytest.mark.parametrize(
    ("parts", "at", "fields"),
    [
        ({}, WHILE_IT, []),
        ({"salt": "another-salt-of-it"}, BEFORE_IT, ["salt"]),
        ({"share_pct": 13}, BEFORE_IT, ["share_pct"]),
        ({"starts_at": "2026-03-02"}, BEFORE_IT, ["starts_at"]),
        ({"eligible": "all"}, BEFORE_IT, ["eligible"]),
        ({"primary": "revenue-per-customer"}, BEFORE_IT, []),
        ({"primary": "revenue-per-customer"}, WHILE_IT, ["primary"]),
        ({"planned_end": "2026-07-01"}, WHILE_IT, ["planned_end"]),
        ({"ends_at": "2026-10-01"}, WHILE_IT, []),
        ({"ends_at": "2026-12-01"}, AFTER_IT, ["id"]),
        ({"id": "autumn"}, WHILE_IT, ["salt"]),
        ({"id": "autumn", "salt": "another-salt-of-it"}, WHILE_IT, []),
        ({"share_pct": 10, "salt": "another-salt-of-it"}, WHILE_IT, ["salt", "share_pct"]),
    ],
)
def test_lots_that_were_drawn_are_not_drawn_anew(
    parts: dict[str, Any], at: datetime, fields: list[str]
) -> None:
    published = history((program(), BEFORE_IT), (document(held(ends_at="2026-09-01")), BEFORE_IT))
    made = document(held(**{"ends_at": "2026-09-01", **parts}))
    found = list(unchangeable(published, made, at))
    assert [each.field for each in found] == fields
    checked = check_against(Checked(made, [], []), published, at)
    assert (checked.document is None) == bool(fields)
    assert [error.path for error in checked.errors] == [f"holdout.{name}" for name in fields]


def test_the_lots_of_a_campaign_are_not_drawn_by_again() -> None:
    segment = {"id": "gone", "when": "customer.days_since_last_purchase > 90"}
    campaign = {"id": "back", "segment": "gone", "salt": SALT, "from": "2026-04-01"}
    published = history((program(segments=[segment], campaigns=[campaign]), BEFORE_IT))
    assert [each.field for each in unchangeable(published, document(held()), WHILE_IT)] == ["salt"]
    named = document(held(id="back", salt="another-salt-of-it"))
    assert [each.field for each in unchangeable(published, named, WHILE_IT)] == ["id"]


def test_another_time_zone_would_begin_at_another_instant() -> None:
    published = history((document(held(starts_at="2026-06-01")), BEFORE_IT))
    moved = document(held(starts_at="2026-06-01"), timezone="Asia/Tokyo")
    assert [each.field for each in unchangeable(published, moved, BEFORE_IT)] == ["starts_at"]


def test_a_holdout_is_a_strict_section() -> None:
    with pytest.raises(ValidationError):
        document({**HOLDOUT, "salt": 5})
