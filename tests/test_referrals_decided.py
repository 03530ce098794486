"""Attribution as a pure decision: from given facts, without a database."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_referrals import program, purchase

from rewards.core.referral_codes import ALPHABET, LENGTH, make_code, read_code, written
from rewards.decide import Submission, decide
from rewards.ledger.referral_state import Referring
from rewards.ledger.state import Account, CustomerState, Decision
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CODE = "ABCDEFGHJKMN"


def decided(state: CustomerState, referrals: dict[str, Any] | None = None, **order: Any) -> Decision:
    document = ProgramDocument.model_validate(program(**(referrals or {})))
    programs = ProgramHistory([ProgramVersion(1, document, NOW, NOW, "test")])
    before = deepcopy(state)
    order = {"referral_code": CODE} | order
    decision = decide(state, Submission(purchase("ben", "1", 5_000, **order), "k", "test"), programs, NOW)
    assert state == before, "a decision changed the state that it was given"
    assert decision.refusal is None
    return decision


def ben(referring: Referring | None = None, **account: Any) -> CustomerState:
    state = CustomerState(Account("ben", **account), exists=False)
    state.referring = referring or Referring(owners={CODE: "anna"})
    return state


def told(decision: Decision) -> str | None:
    assert decision.outcome is not None
    return decision.outcome["referral"]["status"] if "referral" in decision.outcome else None


def test_an_order_with_a_code_attributes_and_qualifies_at_once() -> None:
    decision = decided(ben())
    assert told(decision) == "qualified"
    referral = decision.referral
    assert referral is not None
    assert (referral.referrer_id, referral.due, referral.order_minor) == ("anna", "reward", 5_000)
    assert referral.closes_at == NOW + timedelta(days=30)
    assert decision.after is not None
    assert decision.after.account.referred
    # The rewards are commands of their own: this one gives the order's points alone.
    assert decision.outcome is not None
    assert decision.outcome["points"] == 50


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ben(Referring()), "unknown-code"),
        (ben(Referring(owners={CODE: "ben"})), "self-referral"),
        (ben(Referring(owners={CODE: "anna"}, referrers={"anna": "ben"})), "loop"),
        (ben(Referring(owners={CODE: "anna"}, referrers={"anna": "cleo", "cleo": "ben"})), "loop"),
        (ben(last_purchase_at=NOW - timedelta(days=900)), "existing-customer"),
    ],
)
def test_what_speaks_against_it_is_told_and_the_award_stands(state: CustomerState, status: str) -> None:
    decision = decided(state)
    assert (told(decision), decision.referral) == (status, None)
    assert decision.outcome is not None
    assert (decision.outcome["points"], "anna" in str(decision.outcome["referral"])) == (50, False)


def test_a_chain_that_leads_elsewhere_or_round_in_itself_is_none_of_this_customer() -> None:
    referrers = {"anna": "cleo", "cleo": "dora", "dora": "cleo"}
    assert told(decided(ben(Referring(owners={CODE: "anna"}, referrers=referrers)))) == "qualified"


def test_guards_go_by_the_sternest() -> None:
    referring = Referring(
        owners={CODE: "anna"},
        fingerprints={("device", "d"): {"anna"}},
        used_at={"anna": [NOW - timedelta(hours=1)]},
    )
    guards = {"velocity": {"count": 1, "within": "P1D", "then": "reject"}}
    decision = decided(ben(referring), {"guards": guards}, fingerprints={"device": "d"})
    assert told(decision) == "rejected"
    assert decision.referral is not None
    assert [reason["guard"] for reason in decision.referral.reasons] == ["fingerprints", "velocity"]
    assert decision.referral.due is None


def test_codes_can_be_read_as_people_write_them() -> None:
    codes = {make_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    for code in codes:
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)
        assert read_code(f" {written(code).lower()} ") == code
    assert len(ALPHABET) ** LENGTH > 2**50
