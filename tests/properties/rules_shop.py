"""A shop under a program of many rules: what it does, as drawn, and the checks of what came of it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from laws import check_laws
from memory_ledger import EPOCH, Ledger
from pydantic_core import from_json
from rule_documents import documents, purchases
from rules_oracle import Customer, Expected, expected

from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Record,
    Redeem,
    Return,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Answer
from rewards.ledger.state import RecordedActivity, Reversal

START = datetime(2026, 10, 30, 22, 30, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

Step = tuple[str, dict[str, Any]]

CUSTOMERS = st.sampled_from(["ann", "ann", "bob"])
#: None is now; a minute ahead is a clock that differs.
AGES = st.sampled_from([None, None, None, timedelta(0), MINUTE, 3 * DAY, 14 * DAY, 40 * DAY, -MINUTE])
WAITS = st.sampled_from(
    [MINUTE, 89 * MINUTE, 90 * MINUTE - timedelta(microseconds=1), DAY, 7 * DAY, 31 * DAY, 200 * DAY]
)
WHICH = st.integers(0, 5)


def _step(kind: str, **keys: Any) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries(keys).map(lambda given: (kind, given))


BUY = _step("buy", customer=CUSTOMERS, body=purchases(), age=AGES)
REFUND = _step(
    "refund",
    customer=CUSTOMERS,
    which=WHICH,
    extent=st.sampled_from(["half", "full", "half", "some", "line", "units", "lines"]),
    age=st.sampled_from([None, None, DAY]),
)
STEPS = st.one_of(
    *[BUY] * 6,
    *[REFUND] * 3,
    _step("other", customer=CUSTOMERS, name=st.sampled_from(["signup", "app", "visit"]), age=AGES),
    *[_step("redeem", customer=CUSTOMERS, points=st.sampled_from([None, None, 1, 20]), hold=st.booleans())]
    * 2,
    _step("finish", which=WHICH, how=st.sampled_from(["capture", "void", "reverse"])),
    _step("record", customer=CUSTOMERS, body=purchases(), age=AGES),
    _step("return_something", customer=CUSTOMERS, amount_minor=st.sampled_from([100, 1000, 5000])),
    _step("adjust", customer=CUSTOMERS, points=st.sampled_from([25, 5, -20])),
    *[_step("wait", wait=WAITS)] * 2,
    _step(
        "publish", document=documents(), ago=st.sampled_from([timedelta(0), timedelta(0), 30 * DAY, -7 * DAY])
    ),
)


class Store(Protocol):
    """Where the commands go."""

    def execute(self, submissions: Sequence[Submission], now: datetime) -> list[Answer]: ...

    def publish(self, document: dict[str, Any], effective_from: datetime, now: datetime) -> None: ...


@dataclass
class Scenario:
    """A program and what is done under it."""

    document: dict[str, Any]
    steps: list[Step]

    def play(self, store: Store | None = None) -> "Story":
        """Do it all, in batches between waits, and in the end refund every order."""
        story = Story(store or Ledger())
        story.publish(self.document, EPOCH)
        for kind, given in self.steps:
            getattr(story, kind)(**given)
        story.end()
        return story


def scenarios(most_steps: int = 30) -> st.SearchStrategy[Scenario]:
    """Return the strategy of stories."""
    return st.builds(Scenario, documents(), st.lists(STEPS, min_size=most_steps // 2, max_size=most_steps))


@dataclass
class Story:
    """What was done so far, so that it can be done again."""

    store: Store
    now: datetime = START
    waiting: list[Submission] = field(default_factory=list)
    batches: list[tuple[datetime, list[Submission]]] = field(default_factory=list)
    programs: list[tuple[int, dict[str, Any], datetime, datetime]] = field(default_factory=list)
    orders: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    redemptions: list[str] = field(default_factory=list)
    sent: int = 0
    refunds_from: int = 0

    # -- what can be done -----------------------------------------------------------------------------------

    def publish(
        self, document: dict[str, Any], effective_from: datetime | None = None, ago: timedelta = DAY
    ) -> None:
        self.flush()
        effective_from = effective_from or self.now - ago
        self.store.publish(document, effective_from, self.now)
        self.programs.append((len(self.batches), document, effective_from, self.now))

    def wait(self, wait: timedelta) -> None:
        self.flush()
        self.now += wait

    def buy(self, customer: str, body: dict[str, Any], age: timedelta | None) -> None:
        body = {"order_id": str(self.sent), **body}
        self.orders[customer].append(body)
        self._award(customer, body, age)

    def record(self, customer: str, body: dict[str, Any], age: timedelta | None) -> None:
        """Keep an order that earns nothing."""
        body = {"order_id": str(self.sent), **body}
        self.orders[customer].append(body)
        self._award(customer, body, age, Record)

    def other(self, customer: str, name: str, age: timedelta | None) -> None:
        body = {"type": "signup"} if name == "signup" else {"type": "custom", "name": name}
        self._award(customer, body, age)

    def _award(
        self, customer: str, body: dict[str, Any], age: timedelta | None, kind: type[Award] = Award
    ) -> None:
        given = {"customer_id": customer, "activity": body}
        if age is not None:
            given["occurred_at"] = self.now - age
        self._send(kind.model_validate(given))

    def refund(self, customer: str, which: int, extent: str, age: timedelta | None) -> None:
        orders = self.orders[customer]
        if not orders:
            return
        order = orders[-1 - which % len(orders)]
        items = order["items"]
        given: dict[str, Any]
        if extent == "full":
            given = {"full": True}
        elif extent in ("half", "some") or not items:
            given = {"amount_minor": max(order["total_minor"] // 2 if extent == "half" else 777, 1)}
        elif extent == "lines":
            given = {"items": [{"line_id": item["line_id"]} for item in items]}
        else:
            line = items[which % len(items)]
            given = {"items": [{"line_id": line["line_id"]} | ({"quantity": 1} if extent == "units" else {})]}
        if age is not None:
            given["occurred_at"] = self.now - age
        self._refund(customer, order["order_id"], given)

    def _refund(self, customer: str, order_id: str, given: dict[str, Any]) -> None:
        named = {"customer_id": customer, "order_id": order_id, "refund_id": str(self.sent), **given}
        self._send(Reverse.model_validate(named))

    def return_something(self, customer: str, amount_minor: int) -> None:
        """Refund without naming an order."""
        given = {"refund_id": f"u{self.sent}", "occurred_at": self.now, "amount_minor": amount_minor}
        self._send(Return(customer_id=customer, **given))

    def redeem(self, customer: str, points: int | None, *, hold: bool) -> None:
        self.flush()
        if points is None:
            # Half of what there is, so that some lots are used up and others are not.
            self._send(Settle(customer_id=customer), None)
            told = from_json(self.flush()[0].body)
            points = max(told.get("balance", {}).get("available", 0) // 2, 1)
        self._send(Redeem(customer_id=customer, points=points, hold=hold))
        answer = from_json(self.flush()[0].body)
        if "redemption_id" in answer:
            self.redemptions.append(answer["redemption_id"])

    def finish(self, which: int, how: str) -> None:
        if self.redemptions:
            redemption_id = self.redemptions[-1 - which % len(self.redemptions)]
            kinds = {"capture": Capture, "void": Void, "reverse": ReverseRedemption}
            self._send(kinds[how](redemption_id=redemption_id))

    def adjust(self, customer: str, points: int) -> None:
        self._send(Adjust(customer_id=customer, points=points, reason="test", allow_negative=True))

    def _send(self, command: Any, key: str | None = "") -> None:
        self.sent += 1
        self.waiting.append(Submission(command, f"k{self.sent}" if key == "" else key, "test"))

    def flush(self) -> list[Answer]:
        if not self.waiting:
            return []
        self.batches.append((self.now, self.waiting))
        answers = self.store.execute(self.waiting, self.now)
        assert {each.status for each in answers} <= {200, 201, 404, 409, 422}, answers
        self.waiting = []
        return answers

    def end(self) -> None:
        """Refund every order in full."""
        self.flush()
        self.refunds_from = len(self.batches)
        for customer, orders in self.orders.items():
            for order in orders:
                self._refund(customer, order["order_id"], {"full": True})
        self.flush()

    # -- the same again ---------------------------------------------------------------------------------------

    def _again(self) -> Iterator[tuple[datetime, Any]]:
        """Yield documents to publish, as (document, since), and batches to execute, each with its moment."""
        programs = list(self.programs)
        for number, (now, batch) in enumerate([*self.batches, (self.now, [])]):
            while programs and programs[0][0] <= number:
                _, document, effective_from, at = programs.pop(0)
                yield at, (document, effective_from)
            yield now, batch

    def replayed(self, *, one_by_one: bool, watch: "Watch | None" = None) -> Ledger:
        ledger = Ledger()
        for now, what in self._again():
            if isinstance(what, tuple):
                ledger.publish(what[0], what[1], now)
                continue
            for batch in [[each] for each in what] if one_by_one else [what] if what else []:
                if watch is not None:
                    watch.before(ledger, batch[0], now)
                ledger.execute(batch, now)
                if watch is not None:
                    watch.after(ledger, batch[0], now)
        return ledger

    def check_all(self) -> None:
        """Check the story's store, where it is in memory, and what its replays make of the same commands."""
        watch = Watch([document for _, document, _, _ in self.programs])
        alone = self.replayed(one_by_one=True, watch=watch)
        check_laws(alone)
        assert self.replayed(one_by_one=False).rows() == alone.rows()
        if isinstance(self.store, Ledger):
            assert self.store.rows() == alone.rows()
        watch.check_nothing_is_left(alone)


class Watch:
    """Says beforehand what each award will be, by what is on record, and looks whether it is."""

    def __init__(self, documents: Sequence[dict[str, Any]]) -> None:
        #: Version 1 is the starter program, which is never in force here.
        self.documents = dict(enumerate(documents, 2))
        self.met: dict[tuple[str, str], set[str]] = {}
        self.awaited: Expected | None = None

    def before(self, ledger: Ledger, submission: Submission, now: datetime) -> None:
        command = submission.command
        self.awaited = None
        if not isinstance(command, Award):
            return
        occurred_at = min(command.occurred_at or now, now)
        account = ledger.accounts.get(command.customer_id)
        if account is not None and account.as_of is not None:
            assert account.as_of <= now
        if isinstance(command, Record):
            self.awaited = Expected()
            return
        version = ledger.programs.in_force(occurred_at).version
        self.awaited = expected(
            self.documents[version],
            command.activity.model_dump(mode="json", exclude_none=True),
            occurred_at,
            self._customer(ledger, command.customer_id),
            _Past(self, ledger, command.customer_id, self.documents[version]),
        )

    def after(self, ledger: Ledger, submission: Submission, now: datetime) -> None:
        command, answer = submission.command, self.awaited
        if answer is None or not isinstance(command, Award):
            return
        key = command.activity.key(submission.idempotency_key or "")
        activity = ledger.activities[command.customer_id].get(key)
        told = ledger.commands.get((command.customer_id, submission.idempotency_key or ""))
        if activity is None or told is None or told.status != 201:
            return
        self.met[command.customer_id, key] = answer.met
        assert {grant.rule_id: grant.points for grant in activity.grants} == answer.points
        outcome = from_json(told.answer)
        assert outcome["points"] == sum(line["points"] for line in outcome["explanation"]) == activity.points
        assert outcome["points"] == sum(lot["points"] for lot in outcome.get("lots", [outcome]))
        assert min((grant.points for grant in activity.grants), default=0) >= 0
        self._check_caps(ledger, command.customer_id, activity)
        assert now >= activity.occurred_at

    # -- what is on record ---------------------------------------------------------------------------------

    def _customer(self, ledger: Ledger, customer_id: str) -> Customer:
        customer = Customer()
        for activity in ledger.activities[customer_id].values():
            at, total = activity.occurred_at, activity.body.get("total_minor")
            customer.joined_at = min(customer.joined_at or at, at)
            if total is not None:
                refunds = refunds_of(ledger, customer_id, activity)
                customer.last_purchase_at = max(customer.last_purchase_at or at, at)
                customer.purchases += not any(each.is_full for each in refunds)
                customer.spent_minor += total - sum(each.amount_minor for each in refunds)
        return customer

    def net(
        self, ledger: Ledger, customer_id: str
    ) -> Iterator[tuple[RecordedActivity, dict[str, Any], dict[str, int], bool]]:
        """Yield each activity with its program, what its rules gave and was not taken back, and whether it stands."""
        for activity in ledger.activities[customer_id].values():
            refunds = [each for each in refunds_of(ledger, customer_id, activity) if each.by_grant]
            is_full = any(each.is_full for each in refunds_of(ledger, customer_id, activity))
            given = {
                grant.rule_id: grant.points - sum(each.by_grant[index] for each in refunds)
                for index, grant in enumerate(activity.grants)
                if grant.points
            }
            yield activity, self.documents[activity.program_version], given, not is_full

    def _check_caps(self, ledger: Ledger, customer_id: str, activity: RecordedActivity) -> None:
        """All that was given and not taken back in the period is no more than the cap, unless it was before."""
        document = self.documents[activity.program_version]
        local = activity.occurred_at.astimezone(ZoneInfo(document["timezone"]))
        past = _Past(self, ledger, customer_id, document)
        given = {grant.rule_id: grant.points for grant in activity.grants if grant.points}
        by_rule = {rule["id"]: rule for rule in document["earn"]}
        capped: list[tuple[str | None, int, dict[str, Any]]] = [
            (rule_id, points, cap)
            for rule_id, points in given.items()
            for cap in by_rule[rule_id].get("caps", [])
        ]
        if given:
            capped += [(None, sum(given.values()), cap) for cap in document["caps"]]
        for name, points, cap in capped:
            if cap["per"] == "award":
                assert points <= cap["points"]
                continue
            all_points, all_times = past.given(name, cap["per"], local)
            assert all_points <= cap.get("points", all_points), (name, cap)
            assert all_times <= cap.get("times", all_times), (name, cap)
        for rule_id in given:
            budget = by_rule[rule_id].get("budget", {})
            points, times = past.spent(rule_id)
            assert points <= budget.get("points", points)
            assert times <= budget.get("times", times)

    def check_nothing_is_left(self, ledger: Ledger) -> None:
        """Every order was refunded in full: only what other activities gave is still counted."""
        others: dict[str, set[str]] = defaultdict(set)
        everyone: set[str] = set()
        for customer_id, account in ledger.accounts.items():
            assert (account.purchases, account.spent_minor) == (0, 0)
            for activity, _, given, stands in self.net(ledger, customer_id):
                if activity.body["type"] == "purchase":
                    assert not stands
                    assert not any(given.values())
                else:
                    others[customer_id] |= set(given) | self.met.get(
                        (customer_id, activity.activity_key), set()
                    )
                    everyone |= set(given)
            for (name, _), count in ledger.counts[customer_id].items():
                is_other = name.partition(":")[2] in others[customer_id] or (
                    name == "program" and others[customer_id]
                )
                assert is_other or not any(count), (customer_id, name, count)
        for rule_id, count in ledger.budgets.items():
            assert rule_id in everyone or not any(count), (rule_id, count)


@dataclass
class _Past:
    """The oracle's view of what is on record."""

    watch: Watch
    ledger: Ledger
    customer_id: str
    document: dict[str, Any]

    def given(self, rule_id: str | None, per: str, local: datetime) -> tuple[int, int]:
        points = times = 0
        for activity, document, given, stands in self.watch.net(self.ledger, self.customer_id):
            # Each version has its own calendar, and counts only what it limits.
            at = activity.occurred_at.astimezone(ZoneInfo(document["timezone"]))
            if _period(per, at) != _period(per, local) or not _counts(document, rule_id, per, given):
                continue
            points += sum(given.values()) if rule_id is None else given.get(rule_id, 0)
            times += stands and (bool(given) if rule_id is None else rule_id in given)
        return points, times

    def met(self, rule_id: str) -> int:
        return sum(
            stands and rule_id in self.watch.met.get((self.customer_id, activity.activity_key), ())
            for activity, _, _, stands in self.watch.net(self.ledger, self.customer_id)
        )

    def spent(self, rule_id: str) -> tuple[int, int]:
        points = times = 0
        for customer_id in self.ledger.accounts:
            for _, document, given, stands in self.watch.net(self.ledger, customer_id):
                rule = next((each for each in document["earn"] if each["id"] == rule_id), {})
                if rule_id in given and "budget" in rule:
                    points += given[rule_id]
                    times += stands
        return points, times


def refunds_of(ledger: Ledger, customer_id: str, activity: RecordedActivity) -> list[Reversal]:
    """Return an activity's refunds."""
    if activity.body["type"] != "purchase":
        return []
    order_id = activity.body["order_id"]
    return [each for (order, _), each in ledger.reversals[customer_id].items() if order == order_id]


def _period(per: str, local: datetime) -> Any:
    day = local.date()
    return {
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": (day.year, day.month),
        "year": day.year,
        "life": None,
    }[per]


def _counts(document: dict[str, Any], rule_id: str | None, per: str, given: dict[str, int]) -> bool:
    """Tell whether a version counts for this rule, or for all together, in such periods."""
    if rule_id is None:
        return any(cap["per"] == per for cap in document["caps"])
    rule = next((each for each in document["earn"] if each["id"] == rule_id and rule_id in given), None)
    if rule is None:
        return False
    by_caps = any(cap["per"] == per for cap in rule.get("caps", []))
    return by_caps or (per == "life" and "first" in rule.get("occurrences", {}))


__all__ = ["DAY", "MINUTE", "START", "Scenario", "Story", "Watch", "scenarios"]
