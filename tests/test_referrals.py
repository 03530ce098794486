"""Referrals on a real database: who is brought by whom, what both are given, and how it is taken back."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import Award, Command, JudgeReferral, Redeem, Retract, Return, Reverse, Settle
from rewards.engine import Due, Engine
from rewards.follow_ups import follow_up
from rewards.jobs import JobFailed, run_job
from rewards.ledger.history import history_view
from rewards.ledger.referrals import code_of, referral_summary, referred_revenue
from rewards.ledger.verification import verify
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory
from rewards.program.versions import load_history, publish

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HASH = {"address": "a1", "payment": "p1", "device": "d1"}


def program(**referrals: Any) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": "UTC",
        "earn": [
            {
                "id": "base",
                "activity": "purchase",
                "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
            },
            {"id": "bring", "activity": "referral", "gives": {"type": "fixed", "points": 500}},
            {"id": "come", "activity": "referred", "gives": {"type": "fixed", "points": 200}},
        ],
        "referrals": {"minimum_order_minor": 2_000, **referrals},
    }


class Shop:
    """A storefront that talks to the engine directly, with a key for each command."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = Engine(database)
        self.keys = 0
        self.publish()

    def publish(self, document: dict[str, Any] | None = None, **referrals: Any) -> None:
        parsed = ProgramDocument.model_validate(document or program(**referrals))
        with self.database.engine.begin() as conn:
            publish(conn, parsed, effective_from=NOW - 400 * DAY, now=NOW, actor="test")

    def submission(self, command: Command) -> Submission:
        self.keys += 1
        is_keyless = isinstance(command, Settle | JudgeReferral)
        return Submission(command, None if is_keyless else f"k{self.keys}", "test")

    def send(self, command: Command, now: datetime = NOW) -> tuple[int, dict[str, Any]]:
        answer = self.engine.execute([self.submission(command)], now)[0]
        return answer.status, json.loads(answer.body)

    def do(self, command: Command, now: datetime = NOW) -> dict[str, Any]:
        status, body = self.send(command, now)
        assert status in (200, 201), body
        return body

    def buy(
        self, who: str, order: str, minor: int = 5_000, now: datetime = NOW, **more: Any
    ) -> dict[str, Any]:
        return self.do(purchase(who, order, minor, **more), now)

    def said(self, who: str, order: str, code: str | None, now: datetime = NOW, **more: Any) -> Any:
        """What the answer to a purchase says of the referral: its status."""
        answer = self.buy(who, order, now=now, referral_code=code, **more)
        return answer["referral"]["status"] if "referral" in answer else None

    def code(self, who: str) -> str:
        """The code of a customer, who is made known by a purchase long ago."""
        if not self.rows(f"SELECT 1 FROM accounts WHERE customer_id = '{who}'"):
            self.do(purchase(who, "first", 100, at=NOW - 300 * DAY))
        with self.database.engine.begin() as conn:
            return code_of(conn, who, NOW)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(text(query))]

    def referral(self, who: str) -> tuple[Any, ...]:
        return self.rows(f"SELECT status, due FROM referrals WHERE customer_id = '{who}'")[0]

    def balance(self, who: str, now: datetime = NOW) -> tuple[int, int]:
        settled = self.do(Settle(customer_id=who), now)["balance"]
        return settled["available"], settled["pending"]

    def judge(self, who: str, approve: bool, now: datetime = NOW) -> dict[str, Any]:
        return self.do(JudgeReferral(customer_id=who, approve=approve, note="looked at it"), now)


def purchase(who: str, order: str, minor: int, *, at: datetime | None = None, **more: Any) -> Award:
    activity = {"type": "purchase", "order_id": order, "total_minor": minor, "currency": "USD", **more}
    return Award.model_validate({"customer_id": who, "occurred_at": at, "activity": activity})


def signup(who: str, **more: Any) -> Award:
    return Award.model_validate({"customer_id": who, "activity": {"type": "signup", **more}})


def refund(who: str, order: str, refund_id: str = "r", **extent: Any) -> Reverse:
    return Reverse(customer_id=who, order_id=order, refund_id=refund_id, **(extent or {"full": True}))


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    yield Shop(database)
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


class TestReward:
    def test_both_wait_for_the_refund_window_and_then_can_spend(self, shop: Shop) -> None:
        code = shop.code("anna")
        answer = shop.buy("ben", "1", 5_000, referral_code=code.lower().replace("-", " "))
        assert answer["referral"]["status"] == "qualified"
        assert "anna" not in json.dumps(answer)
        assert shop.referral("ben") == ("rewarded", None)
        assert (shop.balance("ben"), shop.balance("anna")) == ((50, 200), (1, 500))
        later = NOW + 14 * DAY
        assert shop.balance("ben", later - timedelta(seconds=1)) == (50, 200)
        assert (shop.balance("ben", later), shop.balance("anna", later)) == ((250, 0), (501, 0))

    def test_a_code_at_signup_waits_for_the_first_order_that_is_large_enough(self, shop: Shop) -> None:
        code = shop.code("anna")
        assert shop.do(signup("ben", referral_code=code))["referral"]["status"] == "attributed"
        small = shop.buy("ben", "1", 1_999, now=NOW + DAY)
        assert small["referral"] == {
            "status": "attributed",
            "reason": "Waits for an order of at least 20.00 USD.",
        }
        assert shop.said("ben", "2", code, now=NOW + 29 * DAY) == "qualified"
        # They wait from the order on.
        assert shop.balance("anna", NOW + 42 * DAY) == (1, 500)
        assert shop.balance("anna", NOW + 43 * DAY) == (501, 0)

    def test_only_one_order_counts(self, shop: Shop) -> None:
        code = shop.code("anna")
        shop.buy("ben", "1", referral_code=code)
        assert shop.said("ben", "2", None) is None
        assert shop.said("ben", "3", code) == "rewarded"
        assert shop.balance("anna") == (1, 500)

    def test_after_the_window_nothing_counts_unless_it_happened_within(self, shop: Shop) -> None:
        shop.do(signup("ben", referral_code=shop.code("anna")))
        now = NOW + 31 * DAY
        assert run_job("referrals", shop.database, now).detail == "0 referrals followed up, 1 expired"
        assert shop.referral("ben") == ("expired", None)
        assert shop.said("ben", "1", None, now=now) is None
        # An order that is told of late, and lay within the window.
        shop.do(purchase("ben", "2", 5_000, at=NOW + 20 * DAY), now)
        assert shop.referral("ben") == ("rewarded", None)
        assert shop.balance("anna", now) == (1, 500)

    def test_conditions_know_the_order(self, shop: Shop) -> None:
        document = program()
        document["earn"][1]["when"] = "activity.attributes.order_minor >= 10000"
        shop.publish(document)
        code = shop.code("anna")
        shop.buy("ben", "1", 9_999, referral_code=code)
        shop.buy("cleo", "1", 10_000, referral_code=code)
        assert shop.balance("anna") == (1, 500)

    def test_a_rule_of_its_own_pending_and_a_program_without_referrals(self, shop: Shop) -> None:
        code = shop.code("anna")
        document = program()
        document["earn"][2]["pending"] = "P1D"
        shop.publish(document)
        shop.buy("ben", "1", referral_code=code)
        assert shop.balance("ben", NOW + DAY) == (250, 0)
        document["referrals"] = None
        shop.publish(document)
        assert shop.said("cleo", "1", code) is None
        assert shop.rows("SELECT customer_id FROM referrals") == [("ben",)]

    def test_the_shops_own_award_of_the_same_referral_stands(self, shop: Shop) -> None:
        code = shop.code("anna")
        own = {"customer_id": "anna", "activity": {"type": "referral", "referred_customer_id": "ben"}}
        shop.do(Award.model_validate(own))
        shop.do(Award.model_validate({"customer_id": "ben", "activity": {"type": "referred"}}))
        shop.buy("ben", "1", referral_code=code)
        assert shop.referral("ben") == ("rewarded", None)
        assert (shop.balance("ben"), shop.balance("anna")) == ((50, 200), (1, 500))


class TestRefund:
    def test_a_full_refund_takes_both_back(self, shop: Shop) -> None:
        shop.buy("ben", "1", referral_code=shop.code("anna"))
        shop.do(refund("ben", "1"), NOW + 3 * DAY)
        assert shop.referral("ben") == ("reversed", None)
        assert (shop.balance("ben", NOW + 20 * DAY), shop.balance("anna", NOW + 20 * DAY)) == ((0, 0), (1, 0))
        kinds = shop.rows(
            "SELECT customer_id, cause, points FROM entries WHERE kind = 'clawback' ORDER BY 1, seq"
        )
        assert kinds == [
            ("anna", "retract:referral:ben", -500),
            ("ben", "refund:1:r", -50),
            ("ben", "retract:referred", -200),
        ]

    def test_partial_refunds_do_once_too_little_is_left(self, shop: Shop) -> None:
        shop.buy("ben", "1", 5_000, referral_code=shop.code("anna"))
        shop.do(refund("ben", "1", "a", amount_minor=3_000))
        assert shop.referral("ben") == ("rewarded", None)
        shop.do(refund("ben", "1", "b", amount_minor=1))
        assert shop.referral("ben") == ("reversed", None)
        assert shop.balance("anna") == (1, 0)
        shop.do(refund("ben", "1", "c"))
        # Nobody is brought twice.
        assert shop.said("ben", "2", shop.code("carl")) == "already-referred"

    def test_a_return_without_an_order_counts_too(self, shop: Shop) -> None:
        shop.buy("ben", "1", 5_000, referral_code=shop.code("anna"))
        shop.do(Return(customer_id="ben", refund_id="r", occurred_at=NOW, amount_minor=5_000))
        assert shop.referral("ben") == ("reversed", None)

    def test_spent_rewards_are_owed_and_limits_are_free_again(self, shop: Shop) -> None:
        document = program(pending="P0D")
        document["earn"][1] |= {
            "caps": [{"per": "year", "times": 1}],
            "budget": {"points": 500, "then": "refuse"},
        }
        shop.publish(document)
        code = shop.code("anna")
        shop.buy("ben", "1", referral_code=code)
        shop.do(Redeem(customer_id="anna", points=501))
        shop.buy("cleo", "1", referral_code=code)
        assert shop.balance("anna") == (0, 0)
        shop.do(refund("ben", "1"))
        assert shop.do(Settle(customer_id="anna"))["balance"]["deficit"] == 500
        shop.buy("dora", "1", referral_code=code)
        assert shop.do(Settle(customer_id="anna"))["balance"] == {
            "available": 0,
            "pending": 0,
            "held": 0,
            "deficit": 0,
        }
        assert shop.rows("SELECT points, times FROM budgets WHERE rule_id = 'bring'") == [(500, 1)]

    def test_a_rule_that_was_changed_or_deleted_since_takes_back_what_it_gave(self, shop: Shop) -> None:
        shop.buy("ben", "1", referral_code=shop.code("anna"))
        document = program()
        document["earn"] = [
            document["earn"][0] | {"id": "other"},
            document["earn"][1] | {"gives": {"type": "fixed", "points": 9}},
        ]
        with shop.database.engine.begin() as conn:
            publish(
                conn, ProgramDocument.model_validate(document), effective_from=NOW + DAY, now=NOW, actor="t"
            )
        shop.do(refund("ben", "1"), NOW + 2 * DAY)
        assert (shop.balance("ben", NOW + 20 * DAY), shop.balance("anna", NOW + 20 * DAY)) == ((0, 0), (1, 0))

    def test_taking_back_is_done_once(self, shop: Shop) -> None:
        shop.buy("ben", "1", referral_code=shop.code("anna"))
        shop.do(refund("ben", "1"))
        command = Retract(customer_id="anna", activity_key="referral:ben")
        assert shop.send(command)[1]["code"] == "already-reversed"
        unknown = Retract(customer_id="anna", activity_key="referral:nobody")
        assert shop.send(unknown)[1]["code"] == "order-not-found"

    def test_the_customers_page_says_what_happened(self, shop: Shop) -> None:
        shop.buy("ben", "1", referral_code=shop.code("anna"))
        shop.do(refund("ben", "1"))
        with shop.database.engine.connect() as conn:
            programs: ProgramHistory = load_history(conn)
            lines = [line.sentence for line in history_view(conn, "anna", 2, None, programs)]
        assert lines == [
            "No longer counts, bringing a friend: 500\xa0points taken back",
            "Earned 500\xa0points for bringing a friend",
        ]


class TestWhatIsRefused:
    def test_oneself_the_existing_and_a_second_code(self, shop: Shop) -> None:
        anna, carl = shop.code("anna"), shop.code("carl")
        assert shop.said("carl", "2", anna) == "existing-customer"
        shop.do(signup("dora"))
        assert shop.said("dora", "1", shop.code("dora")) == "self-referral"
        shop.do(signup("ben", referral_code=anna))
        assert shop.said("ben", "1", carl) == "qualified"
        assert shop.rows("SELECT referrer_id FROM referrals") == [("anna",)]
        assert shop.balance("carl") == (51, 0)

    @pytest.mark.parametrize("length", [2, 3])
    def test_a_loop(self, shop: Shop, length: int) -> None:
        people = ["anna", "ben", "cleo"][:length]
        for who in people:
            shop.do(signup(who))
        codes = {who: shop.code(who) for who in people}
        for who, brought in pairwise(people):
            assert shop.said(brought, "1", codes[who]) == "qualified"
        answer = shop.do(purchase(people[0], "1", 5_000, referral_code=codes[people[-1]]))
        assert answer["referral"]["status"] == "loop"
        assert answer["points"] == 50

    def test_a_loop_within_one_batch(self, shop: Shop) -> None:
        for who in ("anna", "ben"):
            shop.do(signup(who))
        orders = [
            shop.submission(purchase("ben", "1", 5_000, referral_code=shop.code("anna"))),
            shop.submission(purchase("anna", "1", 5_000, referral_code=shop.code("ben"))),
        ]
        answers = [json.loads(answer.body) for answer in shop.engine.execute(orders, NOW)]
        assert [answer["referral"]["status"] for answer in answers] == ["qualified", "loop"]

    def test_a_loop_of_two_transactions_is_found_before_anything_is_paid(self, shop: Shop) -> None:
        for who in ("anna", "ben"):
            shop.do(signup(who))
        shop.do(signup("x"))
        shop.engine.execute([shop.submission(signup("y"))], NOW)
        # Each transaction read before the other had written: their rows, as they would then stand.
        with shop.database.engine.begin() as conn:
            for who, other, second in (("anna", "ben", 0), ("ben", "anna", 1)):
                shop_order = {
                    "who": who,
                    "other": other,
                    "at": NOW + timedelta(seconds=second),
                    "end": NOW + DAY,
                }
                conn.execute(
                    text(
                        "INSERT INTO referrals (customer_id, referrer_id, code, status, reasons, fingerprints, attributed_at, closes_at) VALUES (:who, :other, 'C', 'attributed', '[]', '{}', :at, :end)"
                    ),
                    shop_order,
                )
            conn.execute(text("UPDATE accounts SET referred = true WHERE customer_id IN ('anna', 'ben')"))
        later = NOW + timedelta(minutes=1)
        shop.buy("anna", "1", now=later)
        shop.buy("ben", "1", now=later)
        assert (shop.referral("anna"), shop.referral("ben")) == (("rewarded", None), ("rejected", None))

    def test_guessing_ends_after_two_tries(self, shop: Shop) -> None:
        code = shop.code("anna")
        assert shop.do(signup("eve", referral_code="WRONG"))["referral"]["status"] == "unknown-code"
        guesses = ["", "-", "W" * 255, "no such code", *(f"GUESS{number}" for number in range(20)), code]
        orders = [
            purchase("eve", str(number), 100, referral_code=guess) for number, guess in enumerate(guesses)
        ]
        answers = [
            json.loads(answer.body) for answer in shop.engine.execute([*map(shop.submission, orders)], NOW)
        ]
        said = [answer.get("referral", {}).get("status") for answer in answers]
        assert said == [None, None, *["existing-customer"] * (len(guesses) - 2)]
        strangers = [shop.said(f"eve{number}", "1", f"GUESS{number}") for number in range(3)]
        assert strangers == ["unknown-code"] * 3
        assert shop.rows("SELECT count(*) FROM referrals") == [(0,)]

    def test_a_quote_says_nothing_of_a_code(self, shop: Shop) -> None:
        for code in (shop.code("anna"), "NOSUCHCODE22"):
            quoted = shop.engine.quote(purchase("ben", "1", 5_000, referral_code=code), NOW)
            assert "referral" not in quoted["award"]
        assert shop.rows("SELECT * FROM referrals") == []


class TestGuards:
    def test_the_referrers_own_address(self, shop: Shop) -> None:
        code = shop.code("anna")
        shop.buy("anna", "2", fingerprints=HASH)
        answer = shop.buy("ben", "1", referral_code=code, fingerprints={"payment": "p1", "device": "d2"})
        assert answer["referral"]["status"] == "flagged"
        assert "the same payment as the referrer's" in answer["referral"]["reason"]
        assert shop.balance("anna") == (51, 0)

    def test_the_address_of_another_friend_in_the_same_batch(self, shop: Shop) -> None:
        code = shop.code("anna")
        orders = [
            shop.submission(purchase(who, "1", 5_000, referral_code=code, fingerprints={"device": "d"}))
            for who in ("ben", "cleo")
        ]
        answers = [json.loads(answer.body) for answer in shop.engine.execute(orders, NOW)]
        assert [each["referral"]["status"] for each in answers] == ["qualified", "flagged"]
        assert shop.said("dora", "1", code, fingerprints={"device": "d"}) == "flagged"
        assert shop.said("emil", "1", code, fingerprints={"device": "e"}) == "qualified"
        # Of another referrer's friends nothing is known.
        assert shop.said("fred", "1", shop.code("carl"), fingerprints={"device": "d"}) == "qualified"

    def test_reject_and_ignore(self, shop: Shop) -> None:
        code = shop.code("anna")
        shop.publish(guards={"fingerprints": "reject"})
        shop.buy("anna", "2", fingerprints=HASH)
        assert shop.said("ben", "1", code, fingerprints=HASH) == "rejected"
        shop.publish(guards={"fingerprints": "ignore"})
        assert shop.said("cleo", "1", code, fingerprints=HASH) == "qualified"

    def test_velocity(self, shop: Shop) -> None:
        shop.publish(guards={"velocity": {"count": 2, "within": "P1D", "then": "flag"}})
        code = shop.code("anna")
        orders = [shop.submission(purchase(who, "1", 5_000, referral_code=code)) for who in ("a", "b", "c")]
        answers = [json.loads(answer.body) for answer in shop.engine.execute(orders, NOW)]
        assert [each["referral"]["status"] for each in answers] == ["qualified", "qualified", "flagged"]
        assert shop.said("d", "1", code, now=NOW + timedelta(hours=23)) == "flagged"
        assert shop.said("e", "1", code, now=NOW + 2 * DAY) == "qualified"

    def flagged(self, shop: Shop) -> str:
        code = shop.code("anna")
        shop.buy("anna", "2", fingerprints=HASH)
        return code

    def test_approving_pays_at_once_where_the_order_is_there(self, shop: Shop) -> None:
        shop.said("ben", "1", self.flagged(shop), fingerprints=HASH)
        judged = shop.judge("ben", approve=True, now=NOW + 10 * DAY)
        assert (judged["status"], judged["note"], judged["decided_by"]) == (
            "qualified",
            "looked at it",
            "test",
        )
        assert [reason["guard"] for reason in judged["reasons"]] == ["fingerprints"] * 3
        # The refund window is that of the order.
        assert shop.balance("anna", NOW + 14 * DAY) == (551, 0)
        assert shop.judge("ben", approve=True)["status"] == "rewarded"

    def test_approving_before_the_order_waits_for_it(self, shop: Shop) -> None:
        code = self.flagged(shop)
        shop.do(signup("ben", referral_code=code, fingerprints=HASH))
        assert shop.judge("ben", approve=True)["status"] == "approved"
        assert shop.said("ben", "1", None) == "qualified"

    def test_rejecting_gives_nothing_and_takes_back_what_was_given(self, shop: Shop) -> None:
        code = self.flagged(shop)
        shop.said("ben", "1", code, fingerprints=HASH)
        assert shop.judge("ben", approve=False)["status"] == "rejected"
        assert shop.balance("anna") == (51, 0)
        # It was a mistake.
        shop.judge("ben", approve=True)
        assert shop.balance("anna") == (51, 500)
        # It was none.
        shop.judge("ben", approve=False)
        assert (shop.balance("ben"), shop.balance("anna")) == ((50, 0), (51, 0))
        status, problem = shop.send(JudgeReferral(customer_id="ben", approve=True, note="no"))
        assert (status, problem["code"]) == (409, "referral-closed")

    def test_a_rejected_order_counts_once_a_person_says_so_unless_it_was_refunded(self, shop: Shop) -> None:
        code = self.flagged(shop)
        shop.publish(guards={"fingerprints": "reject"})
        for who in ("ben", "cleo"):
            assert shop.said(who, "1", code, fingerprints=HASH) == "rejected"
        shop.do(refund("cleo", "1"))
        shop.judge("ben", approve=True)
        assert shop.balance("anna") == (51, 500)
        status, problem = shop.send(JudgeReferral(customer_id="cleo", approve=True, note="no"))
        assert (status, problem["code"]) == (409, "referral-closed")

    def test_a_flagged_order_that_is_refunded_is_over(self, shop: Shop) -> None:
        shop.said("ben", "1", self.flagged(shop), fingerprints=HASH)
        shop.do(refund("ben", "1"))
        assert shop.referral("ben") == ("reversed", None)
        assert (
            shop.send(JudgeReferral(customer_id="ben", approve=True, note="no"))[1]["code"]
            == "referral-closed"
        )
        assert (
            shop.send(JudgeReferral(customer_id="zoe", approve=True, note="no"))[1]["code"]
            == "referral-not-found"
        )


class TestFollowUps:
    """What happens where a process ends between the commit of the order and what follows from it."""

    def only(self, shop: Shop, command: Command, now: datetime = NOW) -> None:
        """Execute a command and die."""
        shop.engine._run([shop.submission(command)], now, Due())

    def test_the_job_does_what_was_left(self, shop: Shop) -> None:
        self.only(shop, purchase("ben", "1", 5_000, referral_code=shop.code("anna")))
        assert shop.referral("ben") == ("qualified", "reward")
        assert shop.balance("anna") == (1, 0)
        assert run_job("referrals", shop.database, NOW + DAY).detail == "1 referrals followed up, 0 expired"
        assert (shop.balance("ben"), shop.balance("anna")) == ((50, 200), (1, 500))
        assert run_job("referrals", shop.database, NOW + DAY).detail == "0 referrals followed up, 0 expired"

    def test_dying_between_the_two_rewards(self, shop: Shop) -> None:
        self.only(shop, purchase("ben", "1", 5_000, referral_code=shop.code("anna")))
        steps = 0

        def dying(each: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == 2:
                raise KeyboardInterrupt
            return shop.engine._run(each, NOW, Due())

        with pytest.raises(KeyboardInterrupt):
            follow_up(lambda: shop.engine._due_referrals(["ben"]), dying)
        assert shop.referral("ben") == ("rewarded", "referrer")
        assert (shop.balance("ben"), shop.balance("anna")) == ((50, 200), (1, 0))
        # The order is refunded before the referrer was rewarded; and the refund's process dies too.
        self.only(shop, refund("ben", "1"))
        assert shop.referral("ben") == ("reversed", "retract")
        run_job("referrals", shop.database, NOW)
        assert (shop.referral("ben"), shop.balance("ben"), shop.balance("anna")) == (
            ("reversed", None),
            (0, 0),
            (1, 0),
        )

    def test_a_refund_before_the_rewards_cancels_them(self, shop: Shop) -> None:
        self.only(shop, purchase("ben", "1", 5_000, referral_code=shop.code("anna")))
        waiting = shop.engine._due_referrals(["ben"])
        shop.do(refund("ben", "1"))
        assert shop.referral("ben") == ("reversed", None)
        # A process that read the queue before the refund comes late.
        reads = iter([waiting, []])
        follow_up(lambda: next(reads), lambda each: shop.engine._run(each, NOW, Due()))
        assert shop.rows("SELECT count(*) FROM activities WHERE activity_key LIKE 'refer%'") == [(0,)]

    def test_a_process_that_comes_late_to_the_referrers_reward(self, shop: Shop) -> None:
        self.only(shop, purchase("ben", "1", 5_000, referral_code=shop.code("anna")))
        shop.engine.follow_up(["ben"], NOW)
        with shop.database.engine.begin() as conn:
            conn.execute(text("UPDATE referrals SET due = 'referrer'"))
        late = shop.engine._due_referrals(["ben"])
        shop.do(refund("ben", "1"))
        follow_up(lambda: late, lambda each: shop.engine._run(each, NOW, Due()))
        assert (shop.referral("ben"), shop.balance("anna")) == (("reversed", None), (1, 0))

    def test_what_cannot_be_sent_stays_due_and_the_order_stands(self, shop: Shop) -> None:
        code = shop.code("anna")
        with shop.database.engine.begin() as conn:
            conn.execute(
                text("ALTER TABLE activities ADD CONSTRAINT sick CHECK (customer_id <> 'anna') NOT VALID")
            )
        assert shop.said("ben", "1", code) == "qualified"
        assert shop.referral("ben")[1] is not None
        with pytest.raises(JobFailed):
            run_job("referrals", shop.database, NOW)
        with shop.database.engine.begin() as conn:
            conn.execute(text("ALTER TABLE activities DROP CONSTRAINT sick"))
        run_job("referrals", shop.database, NOW)
        assert (shop.referral("ben"), shop.balance("anna")) == (("rewarded", None), (1, 500))

    def test_two_orders_at_once_bring_one_reward(self, shop: Shop) -> None:
        code = shop.code("anna")
        friends = [f"f{number}" for number in range(8)]
        orders = [purchase(who, f"{who}-{n}", 5_000, referral_code=code) for who in friends for n in range(3)]
        submissions = [shop.submission(order) for order in orders]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda each: shop.engine.execute([each], NOW)[0], submissions))
        assert {answer.status for answer in answers} == {201}
        run_job("referrals", shop.database, NOW)
        assert shop.balance("anna") == (1, 500 * len(friends))
        assert {shop.balance(who) for who in friends} == {(150, 200)}

    def test_two_jobs_at_once(self, shop: Shop) -> None:
        code = shop.code("anna")
        for number in range(6):
            self.only(shop, purchase(f"f{number}", "1", 5_000, referral_code=code))
        friends = [f"f{number}" for number in range(6)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: Engine(shop.database).follow_up(friends, NOW), range(4)))
        assert shop.balance("anna") == (1, 3_000)

    def test_orders_refunds_and_jobs_in_any_order_leave_both_rewarded_or_neither(self, shop: Shop) -> None:
        shop.publish(pending="P0D")
        code, chance = shop.code("anna"), Random(7)
        friends = [f"f{number}" for number in range(24)]
        work: list[Any] = []
        for who in friends:
            order = shop.submission(purchase(who, "1", 5_000, referral_code=code))
            back = shop.submission(refund(who, "1"))

            def buy_and_give_back(order: Submission = order, back: Submission = back) -> None:
                # Sometimes the process dies before it follows up.
                run = (
                    shop.engine.execute
                    if chance.random() < 0.5
                    else lambda each, now: shop.engine._patiently(each, now, Due())
                )
                run([order], NOW)
                if chance.random() < 0.7:
                    run([back], NOW)

            work.append(buy_and_give_back)
        work += [lambda: shop.engine.follow_up(friends, NOW)] * 24
        chance.shuffle(work)
        with ThreadPoolExecutor(6) as threads:
            for each in [threads.submit(each) for each in work]:
                each.result()
        run_job("referrals", shop.database, NOW)
        rows = dict(shop.rows("SELECT customer_id, status FROM referrals WHERE due IS NULL"))
        assert set(rows) == set(friends)
        assert set(rows.values()) == {"rewarded", "reversed"}
        rewarded = [who for who in friends if rows[who] == "rewarded"]
        assert shop.balance("anna") == (1 + 500 * len(rewarded), 0)
        assert {who: shop.balance(who)[0] for who in friends} == {
            who: 250 if who in rewarded else 0 for who in friends
        }


class TestHotPath:
    def statements(self, shop: Shop, commands: list[Command], folder: Path) -> int:
        """Count what goes over the wire, COPY included, by the driver library's own trace; follow-ups not."""
        path = folder / "trace"
        submissions = [shop.submission(command) for command in commands]
        with shop.database.engine.connect() as conn, path.open("w") as trace:
            driver: Any = conn.connection.driver_connection
            driver.prepare_threshold = None
            conn.rollback()
            driver.pgconn.trace(trace.fileno())
            conn.close()
            shop.engine._run(submissions, NOW, Due())
            driver.pgconn.untrace()
        lines = path.read_text().splitlines()
        return sum("\tF\t" in line and ("\tQuery" in line or "\tExecute" in line) for line in lines)

    def test_who_was_not_brought_costs_no_statement_more(self, shop: Shop, tmp_path: Path) -> None:
        def orders(order: str) -> list[Command]:
            return [purchase("ben", order, 5_000)]

        document = program()
        shop.publish(document | {"referrals": None})
        shop.buy("ben", "0")
        without = self.statements(shop, orders("1"), tmp_path)
        shop.publish(document)
        self.statements(shop, orders("2"), tmp_path)
        assert self.statements(shop, orders("3"), tmp_path) == without

    def test_codes_cost_as_many_statements_for_one_as_for_hundreds(self, shop: Shop, tmp_path: Path) -> None:
        codes = [shop.code(who) for who in ("anna", "carl")]

        def orders(name: str, size: int) -> list[Command]:
            return [
                purchase(
                    f"{name}{number}",
                    "1",
                    5_000,
                    referral_code=codes[number % 2],
                    fingerprints={"device": f"{name}{number}"},
                )
                for number in range(size)
            ]

        self.statements(shop, orders("warm", 1), tmp_path)
        counts = [
            self.statements(shop, orders(name, size), tmp_path) for name, size in (("a", 1), ("b", 300))
        ]
        assert counts[0] == counts[1]
        assert run_job("referrals", shop.database, NOW).detail.startswith("302 referrals followed up")
        assert shop.balance("anna")[1] + shop.balance("carl")[1] == 302 * 500


class TestWhatIsTold:
    def test_a_code_is_made_once_and_is_easy_to_read(self, shop: Shop) -> None:
        code = shop.code("anna")
        assert shop.code("anna") == code
        assert len(code) == 14
        assert not set(code) & set("01OIL")
        assert len({shop.code(f"c{number}") for number in range(20)}) == 20

    def test_revenue_is_that_of_the_customers_brought_net_of_refunds(self, shop: Shop) -> None:
        code = shop.code("anna")
        shop.buy("ben", "1", 5_000, referral_code=code)
        shop.buy("ben", "2", 3_000)
        shop.do(refund("ben", "2", amount_minor=500))
        shop.buy("cleo", "1", 4_000, referral_code=code)
        shop.do(refund("cleo", "1"))
        with shop.database.engine.connect() as conn:
            summary = referral_summary(conn, "anna")
            facts = referred_revenue(conn, NOW - DAY, NOW + DAY)
            nobody = referral_summary(conn, "ben")
        assert summary == {"code": code, "referred": 2, "rewarded": 1, "revenue_minor": 7_500}
        assert facts == [("anna", 2, 3, 7_500)]
        assert nobody == {"code": None, "referred": 0, "rewarded": 0, "revenue_minor": 0}
