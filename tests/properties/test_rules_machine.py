"""Programs of many rules in the hands of random shops, held against the oracle, replayed and cut into other batches.

REWARDS_TEST_HUNT_SECONDS=600 looks for new failures for that long, with new random choices; without it the same
examples are tried each time.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from rule_documents import documents, purchases
from rules_oracle import Customer, expected
from rules_shop import DAY, START, Scenario, scenarios
from stored_ledger import OnDatabase, Server
from test_preview_replays import Replayed

from rewards.decide.commands import Activity
from rewards.ledger.state import Account, Count
from rewards.program.document import ProgramDocument
from rewards.program.earning import earn, limits_of

HUNT_SECONDS = float(os.environ.get("REWARDS_TEST_HUNT_SECONDS", "0"))
OTHERS = [{"type": "signup"}, {"type": "custom", "name": "app", "attributes": {"gift": True}}]

_activity: TypeAdapter[Any] = TypeAdapter(Activity)


def hunt(
    examples: int, *strategies: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Run a check on so many examples, the same each time; or on new ones for the time given to a hunt."""

    def decorate(check: Callable[..., None]) -> Callable[[], None]:
        repeatable = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink],
            print_blob=True,
        )

        def test() -> None:
            if not HUNT_SECONDS:
                repeatable(given(*strategies)(check))()
                return
            ends_at = time.monotonic() + HUNT_SECONDS
            while time.monotonic() < ends_at:
                settings(repeatable, derandomize=False, max_examples=200)(given(*strategies)(check))()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


# -- one award -------------------------------------------------------------------------------------------

CUSTOMERS = st.builds(
    Customer,
    st.integers(0, 3),
    st.sampled_from([0, 10_000, 10_001, -5]),
    st.sampled_from([None, START - 3 * DAY, START - 8 * DAY, START + DAY]),
    st.sampled_from([None, START - 3 * DAY, START]),
)
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 10, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(
        [
            datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2027, 1, 1, tzinfo=UTC),
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
            datetime(2028, 2, 29, 12, tzinfo=UTC),
            datetime(1970, 1, 1, tzinfo=UTC),
        ]
    ),
)


class Counted:
    """Some counts, as the engine keeps them and as the oracle asks for them."""

    def __init__(
        self, document: ProgramDocument, activity_type: str, at: datetime, draw: st.DataObject
    ) -> None:
        limits = limits_of(document, activity_type)
        amounts = st.builds(Count, st.sampled_from([0, 0, 1, 30, 99, 500]), st.integers(0, 3))
        self.counts, self.budgets = {}, {}
        self._by_per: dict[tuple[str, str], Count] = {}
        if limits is not None:
            for key, named in zip(limits.counts_at(at), limits.counts, strict=True):
                self.counts[key] = self._by_per[named] = draw.draw(amounts)
            self.budgets = {rule_id: draw.draw(amounts) for rule_id in limits.budgets}

    def given(self, rule_id: str | None, per: str, local: datetime) -> tuple[int, int]:
        return self._by_per.get(("program" if rule_id is None else f"rule:{rule_id}", per), Count())

    def met(self, rule_id: str) -> int:
        return self._by_per[f"seen:{rule_id}", "life"].times

    def spent(self, rule_id: str) -> tuple[int, int]:
        return self.budgets[rule_id]


def _account(customer: Customer) -> Account:
    return Account("c", **asdict(customer))


@hunt(
    200,
    documents(),
    st.one_of(purchases().map(lambda body: {"order_id": "1", **body}), st.sampled_from(OTHERS)),
    CUSTOMERS,
    MOMENTS,
    st.data(),
)
def test_an_award_is_what_the_documentation_says(
    data: dict[str, Any], body: dict[str, Any], customer: Customer, at: datetime, draw: st.DataObject
) -> None:
    document = ProgramDocument.model_validate(data)
    past = Counted(document, body["type"], at, draw)
    activity = _activity.validate_python(body)
    before = dict(past.counts), dict(past.budgets)
    earned = earn(document, activity, _account(customer), at, past.counts, past.budgets)
    assert before == (past.counts, past.budgets)
    answer = expected(data, body, at, customer, past)
    assert {grant.rule_id: grant.points for grant in earned.grants} == answer.points
    for grant in earned.grants:
        # What was cut is said, in figures and in words.
        for cut in grant.cuts or ():
            assert cut["points"] > 0
            assert cut["text"] in grant.text
        assert grant.lines is None or grant.lines.keys() <= {item["line_id"] for item in body["items"]}
    not_applied: list[Any] = []
    told = earn(
        document, activity, _account(customer), at, past.counts, past.budgets, not_applied=not_applied
    )
    assert (told.grants, told.counts, told.budgets) == (earned.grants, earned.counts, earned.budgets)
    silent = {each["id"] for each in data["earn"] if each["activity"] == body["type"]} - set(answer.points)
    assert sorted(each.rule_id for each in not_applied) == sorted(silent)
    assert all(each.text for each in not_applied)


@hunt(150, documents(), purchases(), MOMENTS, st.data())
def test_the_order_of_rules_matters_only_to_what_the_programs_caps_cut(
    data: dict[str, Any], body: dict[str, Any], at: datetime, draw: st.DataObject
) -> None:
    # Equals are told apart by their place in the document, so there are none.
    for priority, rule in enumerate(data["earn"]):
        rule["priority"] = priority
    shuffled = data | {"earn": draw.draw(st.permutations(data["earn"]))}
    activity = _activity.validate_python({"order_id": "1", **body})
    one, other = (
        {
            grant.rule_id: grant.points
            for grant in earn(ProgramDocument.model_validate(each), activity, occurred_at=at).grants
        }
        for each in (data, shuffled)
    )
    assert sum(one.values()) == sum(other.values())
    assert data["caps"] or one == other


# -- whole stories ---------------------------------------------------------------------------------------


@pytest.mark.slow
@hunt(120, scenarios())
def test_a_shop_in_memory(scenario: Scenario) -> None:
    scenario.play().check_all()


@pytest.mark.slow
def test_a_shop_on_a_database(server: Server, template: str) -> None:
    @hunt(6, scenarios(most_steps=40))
    def check(scenario: Scenario) -> None:
        store = OnDatabase(server, template)
        try:
            story = scenario.play(store)
            story.check_all()
            store.check(story.replayed(one_by_one=True))
        finally:
            store.close()

    check()


@pytest.mark.slow
@hunt(60, scenarios())
def test_a_preview_of_the_program_in_force_gives_what_the_ledger_has(scenario: Scenario) -> None:
    # The histories that a test makes do not tell which orders were recorded to earn nothing.
    scenario.steps = [step for step in scenario.steps if step[0] not in ("publish", "record")]
    for _, chosen in scenario.steps:
        # A preview spends budgets in the order of the customers, so there is but one.
        chosen.update({"customer": "ann"} if "customer" in chosen else {})
    story = scenario.play()
    replayed = Replayed(since=None)
    replayed.ledger = story.store
    replayed.check(story.replayed(one_by_one=False))
