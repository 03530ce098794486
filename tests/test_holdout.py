"""The holdout in the engine: who is held out earns nothing, everything else is as for anybody, and nothing moves it."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.decide import Submission, decide
from rewards.decide.commands import Adjust, Assign, Award, Command, Enroll, Record, Redeem, Reverse
from rewards.engine import Answer, Engine
from rewards.facts.exposures import log_exposure, refresh_exposures
from rewards.facts.refresh import refresh
from rewards.importing.assignments import import_assignments
from rewards.importing.members import import_members
from rewards.importing.surveys import import_surveys
from rewards.ledger.referrals import code_of
from rewards.ledger.state import Account, CustomerState
from rewards.ledger.statements import customer_statement
from rewards.ledger.verification import verify
from rewards.metrics.effect.reading import read_trial
from rewards.metrics.effect.trial import Trial
from rewards.metrics.store import open_source
from rewards.preview import replay
from rewards.profiles.storing import read_profile
from rewards.program.document import ProgramDocument
from rewards.program.experiments import holdout_run
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.holdout import arm_of
from rewards.program.loading import ProgramInvalid
from rewards.program.versions import load_history, publish

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
SALT = "a-salt-of-the-tests"
HOLDOUT = {"id": "spring", "salt": SALT, "share_pct": 50, "starts_at": "2026-03-01"}


def rule(rule_id: str, activity: str, **gives: Any) -> dict[str, Any]:
    return {"id": rule_id, "activity": activity, "gives": gives}


EARN = [
    rule("base", "purchase", type="per_amount", points=1, per_minor=100),
    rule("welcome", "signup", type="fixed", points=50),
    rule("birthday", "birthday", type="fixed", points=20),
    rule("answers", "survey", type="fixed", points=10),
    rule("tier", "tier", type="fixed", points=100),
    rule("friend", "referral", type="fixed", points=500),
]
LADDER = {
    "tiers": [
        {"id": "bronze", "name": "Bronze"},
        {"id": "silver", "name": "Silver", "ways_in": [{"spend_minor": 10_000}, {"orders": 3}]},
    ]
}


def document(holdout: dict[str, Any] | None = HOLDOUT, **sections: Any) -> ProgramDocument:
    data = {
        "schema_version": 1,
        "name": "Tea Club",
        "currency": "GBP",
        "timezone": "Europe/London",
        "earn": EARN,
        "ladder": LADDER,
        "holdout": holdout,
    }
    return ProgramDocument.model_validate(data | sections)


def customers(arm: str, count: int = 1, prefix: str = "c") -> list[str]:
    """Customers whose lot falls to an arm."""
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        if arm_of(SALT, f"{prefix}-{number}", 50) == arm:
            found.append(f"{prefix}-{number}")
    return found


OUT, IN = customers("holdout")[0], customers("program")[0]


class Shop:
    """A storefront that talks to the engine directly."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.engine = Engine(database)
        self.keys = 0

    def send(self, *commands: Command, now: datetime = NOW) -> list[Answer]:
        submissions = []
        for command in commands:
            self.keys += 1
            key = None if isinstance(command, Assign | Enroll) else f"k{self.keys}"
            submissions.append(Submission(command, key, "test"))
        return self.engine.execute(submissions, now)

    def do(self, command: Command, now: datetime = NOW) -> dict[str, Any]:
        (answer,) = self.send(command, now=now)
        assert answer.status in (200, 201), answer.body
        return json.loads(answer.body)

    def publish(self, made: ProgramDocument, effective_from: datetime, now: datetime = NOW) -> int:
        with self.database.engine.begin() as conn:
            return publish(conn, made, effective_from=effective_from, now=now, actor="test").version

    def rows(self, query: str, **named: Any) -> list[tuple[Any, ...]]:
        with self.database.engine.connect() as conn:
            return [tuple(row) for row in conn.execute(text(query), named)]

    def statement(self, customer_id: str, as_of: datetime | None = None) -> dict[str, Any]:
        with self.database.engine.connect() as conn:
            found = customer_statement(conn, load_history(conn), customer_id, as_of, NOW)
        assert found is not None
        return found

    def expose(self, customers: list[str] | None = None) -> int:
        with self.database.engine.begin() as conn:
            return refresh_exposures(conn, customers)

    def exposures(self) -> dict[tuple[str, str], tuple[str, datetime, str]]:
        rows = self.rows("SELECT experiment_id, customer_id, arm, exposed_at, source FROM exposures")
        return {(row[0], row[1]): (row[2], row[3].astimezone(UTC), row[4]) for row in rows}

    def contaminated(self) -> list[str]:
        refresh(self.database, NOW)
        with self.database.engine.connect() as conn:
            source = open_source(conn, as_of=NOW.date(), now=NOW)
            trial = read_trial(source, "spring")
            assert isinstance(trial, Trial)
            return sorted(source.store.names([int(unit) for unit in trial.unit[trial.contaminated]]))

    def is_whole(self) -> bool:
        with self.database.engine.connect() as conn:
            report = verify(conn)
        assert report.breaks == []
        return report.ok


@pytest.fixture
def shop(database: Database) -> Iterator[Shop]:
    shop = Shop(database)
    shop.publish(document(), START - 400 * DAY)
    yield shop
    assert shop.is_whole()


def buys(who: str, order: str, minor: int = 5_000, at: datetime = NOW - DAY, **more: Any) -> Award:
    activity = {"type": "purchase", "order_id": order, "total_minor": minor, "currency": "GBP", **more}
    return Award.model_validate({"customer_id": who, "occurred_at": at, "activity": activity})


def does(who: str, activity: dict[str, Any], at: datetime = NOW - DAY) -> Award:
    return Award.model_validate({"customer_id": who, "occurred_at": at, "activity": activity})


# -- awards --------------------------------------------------------------------------------------------------


def test_who_is_held_out_is_given_nothing_and_told_why(shop: Shop) -> None:
    given = shop.do(buys(IN, "1"))
    assert (given["points"], given["tier"]["id"]) == (50, "bronze")
    nothing = shop.do(buys(OUT, "2"))
    assert (nothing["points"], nothing["tier"]) == (0, None)
    (why,) = nothing["explanation"]
    assert (why["rule_id"], why["points"]) == ("holdout", 0)
    assert why["text"] == "held out of the program, so that its effect can be measured (spring)"
    assert nothing["balance"] == {"available": 0, "pending": 0, "held": 0, "deficit": 0}
    # What happened is on record as of anybody else.
    facts = "SELECT purchases, spent_minor FROM accounts WHERE customer_id = :who"
    assert shop.rows(facts, who=OUT) == [(1, 5_000)] == shop.rows(facts, who=IN)


def test_no_kind_of_activity_gives_anything(shop: Shop) -> None:
    for activity in (
        {"type": "signup"},
        {"type": "birthday", "year": 2026},
        {"type": "survey", "survey_id": "s", "answers": {"q": 1}},
        {"type": "referral", "referred_customer_id": "friend"},
    ):
        assert shop.do(does(OUT, activity))["points"] == 0
        assert shop.do(does(IN, activity))["points"] > 0
    assert shop.rows("SELECT sum(points) FROM activities WHERE customer_id = :who", who=OUT) == [(0,)]


def test_nobody_who_is_held_out_climbs_or_is_welcomed(shop: Shop) -> None:
    for number in range(4):
        at = NOW - (9 - number) * DAY
        shop.do(buys(IN, f"in-{number}", 9_000, at))
        shop.do(buys(OUT, f"out-{number}", 9_000, at))
    tier = "SELECT tier FROM accounts WHERE customer_id = :who"
    assert shop.rows(tier, who=IN) == [("silver",)]
    assert shop.rows(tier, who=OUT) == [("bronze",)]
    welcomes = "SELECT activity_key FROM activities WHERE customer_id = :who AND activity_key LIKE 'tier:%'"
    assert len(shop.rows(welcomes, who=IN)) > 0
    assert shop.rows(welcomes, who=OUT) == []
    assert shop.rows("SELECT DISTINCT customer_id FROM outbox") in ([(IN,)], [])
    assert (shop.statement(IN)["tier"]["id"], shop.statement(OUT)["tier"]) == ("silver", None)


def test_the_statement_says_who_takes_part(shop: Shop) -> None:
    shop.do(buys(IN, "1"))
    shop.do(buys(OUT, "2"))
    shop.do(buys("old", "3", at=START - DAY))
    found = {who: shop.statement(who) for who in (IN, OUT, "old")}
    assert {who: each["program"] for who, each in found.items()} == {
        IN: {"status": "enrolled", "experiment_id": "spring", "arm": "program"},
        OUT: {"status": "held-out", "experiment_id": "spring", "arm": "holdout"},
        "old": {"status": "enrolled", "experiment_id": None, "arm": None},
    }
    assert [(each["enrolled"], each["held_out"]) for each in found.values()] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert shop.statement(OUT, START - DAY)["program"]["status"] == "enrolled"


def test_customers_from_before_are_not_drawn_whenever_they_become_known(shop: Shop) -> None:
    out = customers("holdout", 4)
    shop.do(buys(out[0], "1", at=START - DAY))
    assert shop.do(buys(out[0], "2"))["points"] == 50
    # Known as a member since before, or by an order that comes late.
    shop.do(Enroll(customer_id=out[1], member_since=START - DAY))
    assert shop.do(buys(out[1], "3"))["points"] == 50
    assert shop.do(buys(out[2], "4"))["points"] == 0
    shop.do(buys(out[2], "5", at=START - DAY))
    assert shop.do(buys(out[2], "6"))["points"] == 50
    shop.do(Record.model_validate(buys(out[3], "7", at=START - DAY).model_dump()))
    assert shop.do(buys(out[3], "8"))["points"] == 50


def test_a_member_from_before_is_known_from_before() -> None:
    programs = ProgramHistory([ProgramVersion(1, document(), START - 400 * DAY, START, "test")])
    for member_since, points in ((None, 0), (START, 0), (START - DAY, 50)):
        state = CustomerState(Account(OUT, member_since=member_since), lots={}, qualifying=[])
        decision = decide(state, Submission(buys(OUT, "1"), "k", "test"), programs, NOW)
        assert decision.outcome is not None
        assert decision.outcome["points"] == points


def test_the_time_of_the_activity_decides(database: Database) -> None:
    shop = Shop(database)
    shop.publish(document({**HOLDOUT, "ends_at": "2026-06-01"}), START - 400 * DAY)
    end = datetime(2026, 5, 31, 23, tzinfo=UTC)
    second = timedelta(seconds=1)
    out = customers("holdout", 2)
    assert shop.do(buys(out[0], "1", at=START - second))["points"] == 50
    assert shop.do(buys(out[1], "2", at=START))["points"] == 0
    assert shop.do(buys(out[1], "3", at=end - second))["points"] == 0
    assert shop.do(buys(out[1], "4", at=end))["points"] == 50
    assert shop.statement(out[1])["program"]["status"] == "enrolled"
    # What was bought while held out counts to no tier afterwards either.
    assert shop.rows("SELECT tier FROM accounts WHERE customer_id = :who", who=out[1]) == [("bronze",)]
    assert shop.do(buys(out[1], "5", 5_001, at=NOW))["tier"]["id"] == "silver"
    assert shop.is_whole()


def test_a_refund_of_what_was_held_out_leaves_zero(shop: Shop) -> None:
    shop.do(buys(OUT, "1"))
    part = shop.do(Reverse(customer_id=OUT, order_id="1", refund_id="r1", amount_minor=1_000))
    assert (part["points_clawed_back"], part["points_reinstated"]) == (0, 0)
    rest = shop.do(Reverse(customer_id=OUT, order_id="1", refund_id="r2", full=True))
    assert rest["points_clawed_back"] == 0
    assert rest["balance"] == {"available": 0, "pending": 0, "held": 0, "deficit": 0}
    account = "SELECT balance, purchases, spent_minor, deficit FROM accounts WHERE customer_id = :who"
    assert shop.rows(account, who=OUT) == [(0, 0, 0, 0)]


def test_a_refund_after_the_end_takes_nothing_from_a_tier(database: Database) -> None:
    shop = Shop(database)
    shop.publish(document({**HOLDOUT, "ends_at": "2026-06-01"}), START - 400 * DAY)
    shop.do(buys(OUT, "1", 9_000, at=START + DAY))
    shop.do(buys(OUT, "2", 10_000, at=NOW - DAY))
    shop.do(Reverse(customer_id=OUT, order_id="1", refund_id="r1", full=True))
    assert shop.rows("SELECT tier FROM accounts WHERE customer_id = :who", who=OUT) == [("silver",)]
    assert shop.is_whole()


def test_a_quote_is_the_award_that_it_would_be(shop: Shop) -> None:
    quoted = shop.engine.quote(buys(OUT, "1"), NOW, explain=True)
    assert quoted["award"]["points"] == 0
    assert quoted["award"]["explanation"][0]["rule_id"] == "holdout"
    assert quoted["redemption"]["max_points"] == 0
    (why,) = quoted["not_applied"]
    assert why["rule_id"] == "base"
    assert why["text"].startswith("the customer is held out of the program")


def test_points_that_are_there_can_be_spent(shop: Shop) -> None:
    shop.do(Adjust(customer_id=OUT, points=30, reason="A mistake of ours"))
    assert shop.do(Redeem(customer_id=OUT, points=30))["balance"]["available"] == 0


def test_a_referral_rewards_the_one_who_takes_part(database: Database) -> None:
    shop = Shop(database)
    rules = [*EARN, rule("brought", "referred", type="fixed", points=200)]
    made = document(referrals={"pending": "P0D"}).model_dump(mode="json")
    made["earn"] = rules
    shop.publish(ProgramDocument.model_validate(made), START - 400 * DAY)
    shop.do(does(IN, {"type": "signup"}))
    with database.engine.begin() as conn:
        code = code_of(conn, IN, NOW)
    told = shop.do(buys(OUT, "1", referral_code=code, at=NOW))
    assert (told["points"], told["referral"]["status"]) == (0, "qualified")
    assert told["referral"]["reason"] == "The code is kept; this customer is given nothing for it."
    given = "SELECT activity_key, points FROM activities WHERE customer_id = :who AND points > 0"
    assert shop.rows(given, who=OUT) == []
    # Who brought the friend was promised something for it.
    assert (f"referral:{OUT}", 500) in shop.rows(given, who=IN)
    assert shop.is_whole()


# -- arms that were assigned ---------------------------------------------------------------------------------


def test_what_was_assigned_goes_before_the_lot(shop: Shop) -> None:
    out, inside = customers("holdout", 2), customers("program", 2)
    assert shop.do(Assign(customer_id=inside[0], experiment_id="spring", arm="holdout"))["is_new"]
    shop.do(Assign(customer_id=out[0], experiment_id="spring", arm="program"))
    shop.do(Assign(customer_id=out[1], experiment_id="another", arm="program"))
    assert shop.do(buys(inside[0], "1"))["points"] == 0
    assert shop.do(buys(out[0], "2"))["points"] == 50
    assert shop.do(buys(out[1], "3"))["points"] == 0
    assert not shop.do(Assign(customer_id=out[0], experiment_id="spring", arm="program"))["is_new"]
    (refused,) = shop.send(Assign(customer_id=out[0], experiment_id="spring", arm="holdout"))
    assert (refused.status, json.loads(refused.body)["code"]) == (409, "already-assigned")
    # Within one batch as well, and for a customer who is not there yet.
    answers = shop.send(
        Assign(customer_id=inside[1], experiment_id="spring", arm="holdout"), buys(inside[1], "4")
    )
    assert json.loads(answers[1].body)["points"] == 0
    assert len(shop.rows("SELECT * FROM assignments")) == 4


def test_a_tampered_copy_is_found(database: Database) -> None:
    shop = Shop(database)
    shop.publish(document(), START - DAY)
    shop.do(Assign(customer_id="c", experiment_id="spring", arm="program"))
    with database.engine.begin() as conn:
        conn.execute(text("UPDATE accounts SET arms = replace(arms, '=program', '=holdout')"))
    with database.engine.connect() as conn:
        assert [each.invariant for each in verify(conn).breaks] == ["holdout"]


# -- stickiness ----------------------------------------------------------------------------------------------


def test_arms_stay_whatever_else_is_published(shop: Shop) -> None:
    who = [f"s-{number}" for number in range(40)]

    def given(round_: int) -> list[bool]:
        answers = shop.send(*(buys(each, f"{each}-{round_}") for each in who))
        return [json.loads(answer.body)["points"] == 0 for answer in answers]

    first = given(1)
    assert 8 < sum(first) < 32
    shop.publish(document(name="Renamed"), NOW - 2 * DAY)
    assert given(2) == first
    shop.publish(document({**HOLDOUT, "ends_at": "2027-06-01"}), NOW - 2 * DAY)
    assert given(3) == first
    for parts in ({"salt": "another-salt-of-it"}, {"share_pct": 60}, {"starts_at": "2026-03-02"}):
        with pytest.raises(ProgramInvalid, match="holdout"):
            shop.publish(document({**HOLDOUT, **parts}), NOW)
    with pytest.raises(ProgramInvalid, match="by this salt"):
        shop.publish(document({**HOLDOUT, "id": "summer"}), NOW)
    assert given(4) == first


# -- replays and previews ------------------------------------------------------------------------------------


def test_a_preview_under_the_same_program_gives_what_the_ledger_has(shop: Shop) -> None:
    out, inside = customers("holdout", 4), customers("program", 4)
    for number, who in enumerate([*out, *inside]):
        shop.do(buys(who, f"{who}-1", 4_000 + number, at=START + DAY))
        shop.do(buys(who, f"{who}-2", 7_000 + number, at=NOW - DAY))
    shop.do(Assign(customer_id=out[0], experiment_id="other", arm="program"))
    later = NOW + DAY
    shop.send(Assign(customer_id="late", experiment_id="spring", arm="holdout"), now=later)
    shop.do(buys("late", "late-1", at=later), now=later)
    with shop.database.engine.connect() as conn:
        report = replay(conn, document(), as_of=later)
    assert (report.changed, report.refused) == (0, [])
    assert report.totals.issued.before == report.totals.issued.after > 0
    # Without a holdout the others would have been given as much.
    with shop.database.engine.connect() as conn:
        without = replay(conn, document(None, name="All"), as_of=later)
    assert without.changed == len(out) + 1


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_ledger_is_whole_and_replays_to_itself(database: Database, seed: int) -> None:
    random = Random(seed)
    shop = Shop(database)
    ends_at, eligible = random.choice([(None, "new"), ("2026-07-01", "new"), ("2026-07-01", "all")])
    made = document({**HOLDOUT, "ends_at": ends_at, "eligible": eligible})
    shop.publish(made, START - 400 * DAY)
    who = [*customers("holdout", 5), *customers("program", 5)]
    orders: list[tuple[str, str]] = []
    now = START
    for number in range(90):
        now += timedelta(hours=random.randrange(1, 72))
        name = random.choice(who)
        at = now - timedelta(days=random.choice([0, 0, 0, 5, 120]))
        match random.choice(["buy", "buy", "buy", "survey", "refund", "assign", "adjust", "record"]):
            case "buy":
                shop.send(buys(name, str(number), random.choice([900, 5_000, 20_000]), at), now=now)
                orders.append((name, str(number)))
            case "record":
                shop.send(Record.model_validate(buys(name, str(number), 5_000, at).model_dump()), now=now)
            case "survey":
                shop.send(
                    does(name, {"type": "survey", "survey_id": str(number), "answers": {}}, at), now=now
                )
            case "refund" if orders:
                owner, order = random.choice(orders)
                part = random.choice([{"full": True}, {"amount_minor": 300}])
                shop.send(Reverse(customer_id=owner, order_id=order, refund_id=str(number), **part), now=now)
            case "assign":
                arm = random.choice(["holdout", "program"])
                shop.send(Assign(customer_id=name, experiment_id="spring", arm=arm), now=now)
            case "adjust":
                shop.send(Adjust(customer_id=name, points=random.choice([10, -5]), reason="r"), now=now)
    assert shop.is_whole()
    assert shop.rows("SELECT count(*) FROM activities WHERE held_out AND points > 0") == [(0,)]
    assert shop.rows("SELECT count(*) > 5 FROM activities WHERE held_out") == [(True,)]
    with database.engine.connect() as conn:
        report = replay(conn, made, as_of=now + DAY)
    assert (report.changed, report.refused) == (0, [])
    shop.expose()
    before = shop.exposures()
    shop.expose(who)
    assert shop.exposures() == before


ACTIVITIES = st.lists(
    st.tuples(
        st.sampled_from(["holdout", "program"]),
        st.integers(0, 3),
        st.sampled_from(["buy", "signup", "survey", "refund"]),
        st.integers(-40, 200),
    ),
    min_size=1,
    max_size=25,
)


@given(ACTIVITIES, st.sampled_from([None, "2026-05-01"]), st.sampled_from(["new", "all"]))
@settings(max_examples=60)
def test_decisions_are_the_same_however_often_they_are_made(
    steps: list[tuple[str, int, str, int]], ends_at: str | None, eligible: str
) -> None:
    """Replayed from its commands alone, each customer's ledger has the same digests, and who is held out nothing."""
    made = document({**HOLDOUT, "ends_at": ends_at, "eligible": eligible})
    programs = ProgramHistory([ProgramVersion(1, made, START - 400 * DAY, START, "test")])
    who = {"holdout": customers("holdout", 4), "program": customers("program", 4)}

    def run() -> dict[str, CustomerState]:
        states: dict[str, CustomerState] = {}
        for number, (arm, index, what, day) in enumerate(steps):
            name = who[arm][index]
            at, now = START + day * DAY, NOW + number * DAY
            state = states.get(name) or CustomerState(Account(name), exists=False, lots={}, qualifying=[])
            known = [key for key, each in state.activities.items() if key.startswith("purchase:") and each]
            command: Command
            if what == "buy":
                command = buys(name, f"{number}", at=at)
            elif what == "refund" and known:
                command = Reverse(
                    customer_id=name, order_id=known[-1].partition(":")[2], refund_id=str(number), full=True
                )
            else:
                activity = (
                    {"type": "signup"} if what == "signup" else {"type": "review", "subject": str(number)}
                )
                command = does(name, activity, at)
            decision = decide(state, Submission(command, f"k{number}", "test"), programs, now)
            if decision.after is not None:
                if decision.new_activity is not None:
                    recorded, body = decision.new_activity
                    recorded.body = json.loads(body)
                states[name] = decision.after
        return states

    first, second = run(), run()
    assert {name: state.account.digest for name, state in first.items()} == {
        name: state.account.digest for name, state in second.items()
    }
    for state in first.values():
        for activity in state.activities.values():
            assert activity is not None
            assert not (activity.held_out and activity.points)
            if not activity.held_out:
                continue
            assert arm_of(SALT, state.account.customer_id, 50) == "holdout"
        if ends_at is None and eligible == "all" and state.account.customer_id in who["holdout"]:
            assert all(
                each is None or each.held_out or each.occurred_at < START
                for each in state.activities.values()
            )


# -- what it costs -------------------------------------------------------------------------------------------


def test_a_holdout_costs_no_statement(database: Database) -> None:
    shop = Shop(database)
    without = document(None).model_dump(mode="json") | {"ladder": None, "no_holdout": "Not yet"}
    shop.publish(ProgramDocument.model_validate(without), START - 400 * DAY)
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    def count(round_: int) -> int:
        commands = [buys(f"n-{number}", f"{number}-{round_}", at=NOW) for number in range(20)]
        seen.clear()
        shop.send(*commands)
        return len(seen)

    event.listen(database.engine, "before_cursor_execute", note)
    count(0)
    plain = count(1)
    with_holdout = without | {"holdout": HOLDOUT, "no_holdout": None}
    shop.publish(ProgramDocument.model_validate(with_holdout), START - 300 * DAY)
    count(2)
    assert count(3) == plain


# -- exposures -----------------------------------------------------------------------------------------------


def test_both_arms_are_logged_alike_by_the_first_activity(shop: Shop) -> None:
    inside, out = customers("program", 2), customers("holdout", 2)
    for who in (inside[0], out[0]):
        shop.do(buys(who, f"{who}-2", at=START + 9 * DAY))
        shop.do(does(who, {"type": "signup"}, START + 5 * DAY))
    shop.do(buys("old", "old-1", at=START - DAY))
    shop.do(buys("old", "old-2", at=START + DAY))
    # What only the program, or another customer, brings about is no exposure.
    for who in (inside[1], out[1]):
        shop.do(does(who, {"type": "birthday", "year": 2026}, START + 6 * DAY))
        shop.do(does(who, {"type": "referral", "referred_customer_id": "x"}, START + 7 * DAY))
        shop.do(buys(who, f"{who}-1", at=START + 8 * DAY))
    assert shop.expose() == 4
    assert shop.exposures() == {
        ("spring", inside[0]): ("program", START + 5 * DAY, "activity"),
        ("spring", out[0]): ("holdout", START + 5 * DAY, "activity"),
        ("spring", inside[1]): ("program", START + 8 * DAY, "activity"),
        ("spring", out[1]): ("holdout", START + 8 * DAY, "activity"),
    }
    assert shop.expose() == 0
    # An earlier activity that comes late, of one customer only; and one from before the start, by which it is none.
    shop.do(buys(out[0], "late", at=START + 2 * DAY))
    shop.do(buys(inside[0], "later", at=START - 2 * DAY))
    assert shop.expose([out[0], inside[0]]) == 2
    found = shop.exposures()
    assert found["spring", out[0]][1] == START + 2 * DAY
    assert ("spring", inside[0]) not in found
    assert shop.expose() == 0


def test_exposures_draw_the_lots_that_decisions_draw(shop: Shop) -> None:
    who = [f"é-{number} ü" for number in range(60)]
    answers = shop.send(*(buys(each, each) for each in who))
    shop.expose()
    arms = {name: row[0] for (_, name), row in shop.exposures().items()}
    for each, answer in zip(who, answers, strict=True):
        assert (json.loads(answer.body)["points"] == 0) == (arms[each] == "holdout")


def test_spans_follow_the_versions(database: Database) -> None:
    shop = Shop(database)
    shop.publish(document(None), START - 400 * DAY)
    shop.publish(document(), START + 10 * DAY)
    who = customers("holdout", 3)
    shop.do(buys(who[0], "1", at=START + DAY))
    shop.do(buys(who[0], "2", at=START + 12 * DAY))
    shop.do(buys(who[1], "3", at=START + 50 * DAY))
    shop.expose()
    assert shop.exposures()["spring", who[0]][1] == START + 12 * DAY
    shop.publish(document(None), START + 30 * DAY)
    shop.expose()
    assert set(shop.exposures()) == {("spring", who[0])}
    assert shop.is_whole()


def test_who_got_points_all_the_same_is_counted(shop: Shop) -> None:
    out = customers("holdout", 3)
    for who in out:
        shop.do(buys(who, f"{who}-1"))
    shop.expose()
    assert shop.contaminated() == []
    shop.do(Adjust(customer_id=out[0], points=5, reason="Kindness"))
    shop.do(Adjust(customer_id=out[1], points=5, reason="Kindness"), now=NOW)
    assert shop.contaminated() == out[:2]
    # A version without the holdout lets everybody earn; the holdout's time is over then.
    shop.publish(document(None), NOW + DAY / 2)
    shop.do(buys(out[2], "after", at=NOW + DAY), now=NOW + DAY)
    assert shop.contaminated() == out[:2]


def test_a_storefront_may_log_an_earlier_moment(shop: Shop) -> None:
    old = "old-customer"

    def log(who: str, at: datetime) -> tuple[Any, Any, bool]:
        with shop.database.engine.begin() as conn:
            run = holdout_run(load_history(conn), "spring")
            assert run is not None
            found = log_exposure(conn, run, who, at, NOW)
        return found.arm, found.exposed_at, found.show

    shop.do(buys(old, "1", at=START - DAY))
    assert log(old, NOW) == (None, None, True)
    assert log(OUT, NOW) == ("holdout", None, False)
    shop.do(buys(OUT, "2", at=START + 9 * DAY))
    shop.expose()
    assert log(OUT, START + 5 * DAY) == ("holdout", START + 5 * DAY, False)
    assert log(OUT, START + 7 * DAY) == ("holdout", START + 5 * DAY, False)
    assert log(OUT, START - 5 * DAY) == (None, None, True)
    assert shop.expose() == 0
    assert shop.exposures()["spring", OUT] == ("holdout", START + 5 * DAY, "storefront")
    # What comes late may have been earlier still.
    shop.do(buys(OUT, "3", at=START + 2 * DAY))
    assert shop.expose([OUT]) == 1
    assert shop.exposures()["spring", OUT] == ("holdout", START + 2 * DAY, "activity")


# -- imports -------------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str) -> Path:
        path = tmp_path / "rows.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def codes(report: Any) -> list[tuple[int, str]]:
    return [(each.line, each.code) for each in report.rejected]


def test_assignments_are_imported_once(shop: Shop, write: Callable[..., Path], tmp_path: Path) -> None:
    out, inside = customers("holdout", 2), customers("program", 2)
    shop.do(buys(out[0], "1"))
    errors = tmp_path / "errors.csv"
    path = write(
        "customer_id,arm,assigned_at",
        f"{inside[0]},Holdout,2026-03-05T10:00:00",
        f"{out[0]},program,",
        f"{out[1]},holdout,2026-03-05",
        "x,control,",
        ",program,",
        f"{inside[0]},program,",
        "y,program,2030-01-01",
        "z,program,soon",
        "short",
    )
    report = import_assignments(path, shop.database, now=NOW, errors_path=errors)
    assert (report.rows, report.imported, report.already_there) == (9, 2, 0)
    assert codes(report) == [
        (3, "already-exposed"),
        (5, "invalid-arm"),
        (6, "invalid-customer-id"),
        (7, "duplicate-customer"),
        (8, "invalid-time"),
        (9, "invalid-time"),
        (10, "unreadable-row"),
    ]
    assert len(errors.read_text(encoding="utf-8").splitlines()) == 8
    again = import_assignments(path, shop.database, now=NOW)
    assert (again.imported, again.already_there, len(again.rejected)) == (0, 2, 7)
    assert shop.do(buys(inside[0], "2"))["points"] == 0
    (row,) = shop.rows(
        "SELECT arm, assigned_at, source FROM assignments WHERE customer_id = :who", who=inside[0]
    )
    assert (row[0], row[1].astimezone(UTC), row[2]) == (
        "holdout",
        datetime(2026, 3, 5, 10, tzinfo=UTC),
        "import",
    )


def test_arms_of_another_experiment_are_exposures_by_themselves(
    shop: Shop, write: Callable[..., Path]
) -> None:
    path = write("customer_id,arm,assigned_at", "a,program,2025-01-05", "b,holdout,2025-01-06")
    report = import_assignments(path, shop.database, now=NOW, experiment_id="last-year")
    assert report.imported == 2
    assert shop.exposures() == {
        ("last-year", "a"): ("program", datetime(2025, 1, 5, tzinfo=UTC), "import"),
        ("last-year", "b"): ("holdout", datetime(2025, 1, 6, tzinfo=UTC), "import"),
    }
    named = write("customer_id,arm,experiment_id", "c,program,two words", "d,program,")
    assert codes(import_assignments(named, shop.database, now=NOW)) == [(2, "invalid-experiment")]


def test_an_assignment_needs_an_experiment(database: Database, write: Callable[..., Path]) -> None:
    with pytest.raises(SetupError, match="--experiment"):
        import_assignments(write("customer_id,arm", "c,program"), database, now=NOW)
    with pytest.raises(SetupError, match="no column arm"):
        import_assignments(write("customer_id", "c"), database, now=NOW)


def test_members_from_before_take_no_part(shop: Shop, write: Callable[..., Path]) -> None:
    out = customers("holdout", 2)
    path = write(
        "customer_id,joined_at", f"{out[0]},2025-06-01", f"{out[1]},2026-06-01", "x,", "y,2027-01-01"
    )
    report = import_members(path, shop.database, now=NOW)
    assert (report.imported, codes(report)) == (2, [(4, "invalid-time"), (5, "invalid-time")])
    assert shop.do(buys(out[0], "1"))["points"] == 50
    assert shop.do(buys(out[1], "2"))["points"] == 0
    with shop.database.engine.connect() as conn:
        profile = read_profile(conn, out[0])
    assert profile is not None
    # Without an offset it is on the program's clocks.
    assert profile["joined_at"] == datetime(2025, 5, 31, 23, tzinfo=UTC)
    again = import_members(path, shop.database, now=NOW)
    assert (again.imported, again.already_there) == (0, 2)


SURVEY = {
    "id": "nps-2026",
    "title": "How was it?",
    "questions": [
        {"id": "recommend", "type": "nps", "text": "Would you?"},
        {"id": "how", "type": "choice", "text": "How?", "multiple": True, "required": False,
         "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]},
        {"id": "why", "type": "text", "text": "Why?", "required": False},
    ],
}  # fmt: skip


def test_answers_go_to_the_engine_or_to_the_facts(database: Database, write: Callable[..., Path]) -> None:
    shop = Shop(database)
    shop.publish(document(surveys=[SURVEY]), START - 400 * DAY)
    path = write(
        "survey_id,customer_id,answered_at,recommend,how,why,comment",
        f"nps-2026,{IN},2026-05-01,9,a|b,12,Lovely",
        f"nps-2026,{OUT},2026-05-02,3,,,",
        "nps-2026,x,2026-05-02,11,,,",
        f"nps-2026,{IN},2026-05-03,1,,,",
        f"old-tool,{IN},2024-05-01T10:00:00Z,7.5,yes,,",
        "old-tool,y,2024-05-01,,,,",
        "old-tool,z,2027-05-01,1,,,",
    )
    report = import_surveys(path, database, now=NOW)
    assert (report.rows, report.imported, report.points) == (7, 3, 10)
    assert codes(report) == [
        (4, "survey-answers-invalid"),
        (5, "duplicate-answer"),
        (7, "no-answers"),
        (8, "invalid-time"),
    ]
    (row,) = shop.rows(
        "SELECT body FROM activities WHERE customer_id = :who AND activity_key LIKE 'survey%'", who=IN
    )
    assert row[0]["answers"] == {"recommend": 9, "how": ["a", "b"], "why": "12"}
    assert row[0]["comment"] == "Lovely"
    (kept,) = shop.rows(
        "SELECT customer_id, answered_at, answers FROM survey_answers WHERE source = 'import'"
    )
    assert kept[0] == IN
    assert kept[1].astimezone(UTC) == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert kept[2] == {"recommend": 7.5, "how": "yes"}
    again = import_surveys(path, database, now=NOW)
    assert (again.imported, again.already_there, len(again.rejected)) == (0, 3, 4)
    assert shop.is_whole()


def test_answers_can_be_kept_without_points(database: Database, write: Callable[..., Path]) -> None:
    shop = Shop(database)
    shop.publish(document(surveys=[SURVEY]), START - 400 * DAY)
    path = write("survey_id,customer_id,answered_at,recommend", f"nps-2026,{IN},2026-05-01,9")
    report = import_surveys(path, database, now=NOW, award=False)
    assert (report.imported, report.points) == (1, 0)
    other = write("survey_id,customer_id,answered_at,recommend", f"nps-2026,{IN},2026-05-01,2")
    assert codes(import_surveys(other, database, now=NOW, award=False)) == [(2, "idempotency-key-reused")]
