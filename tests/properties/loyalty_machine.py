"""A shop that does everything a shop can do, in any order, against the model.

Hypothesis chooses the program, the customers' purchases, redemptions and refunds, how much time passes between
them, which commands are sent again, and how they are gathered into batches. After every batch each answer, each
account's cache and each lot must be what the model says; in the end the whole is replayed in other batches.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from laws import check_laws
from loyalty_model import Model, Refund, Refused
from memory_ledger import EPOCH, Ledger

from rewards.decide import Submission
from rewards.decide.commands import (
    Adjust,
    Award,
    Capture,
    Command,
    Redeem,
    Return,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
)
from rewards.engine import Answer
from rewards.ledger.balances import Balance, Credit, Hold, Taking, balance_at
from rewards.ledger.state import Account, Lot

START = datetime(2026, 10, 30, 22, 30, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

# -- what can be drawn ----------------------------------------------------------------------------------

EXPIRIES = [
    {"type": "never"},
    {"type": "after", "period": "P12M"},
    {"type": "after", "period": "P1M"},
    {"type": "after", "period": "P12M", "round_up_to": "month"},
    {"type": "dates", "dates": ["06-30", "12-31"], "minimum_life": "P1M"},
    {"type": "inactivity", "period": "P6M"},
    {"type": "inactivity", "period": "P1M"},
]
PER_AMOUNT = [
    {"points": 1, "per_minor": 100},
    {"points": 10, "per_minor": 1000, "whole_blocks": True},
    {"points": 3, "per_minor": 70, "rounding": "half_up"},
    {"points": 1, "per_minor": 300, "rounding": "ceil"},
]
FIXED_ON_PURCHASE = {"id": "thanks", "activity": "purchase", "gives": {"type": "fixed", "points": 7}}
FIXED = [
    {"id": "welcome", "activity": "signup", "gives": {"type": "fixed", "points": 100}},
    {"id": "app", "activity": "custom", "gives": {"type": "fixed", "points": 30}},
]
REDEMPTIONS = [
    {"points": 1, "value_minor": 1, "minimum_points": 1, "step_points": 1},
    {"points": 10, "value_minor": 9, "minimum_points": 20, "step_points": 5},
    {"points": 1, "value_minor": 2, "minimum_points": 1, "step_points": 1, "max_order_share_pct": 50},
]


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    gives = {"type": "per_amount", **draw(st.sampled_from(PER_AMOUNT))}
    return {
        "schema_version": 1,
        "name": "Test",
        "currency": "USD",
        "timezone": draw(st.sampled_from(["UTC", "Europe/London"])),
        "base_amount": {part: draw(st.booleans()) for part in ("discount", "tax", "shipping")},
        "earn": [
            {"id": "base", "activity": "purchase", "gives": gives},
            *([FIXED_ON_PURCHASE] if draw(st.booleans()) else []),
            *FIXED,
        ],
        "points": {
            "pending": draw(st.sampled_from([None, None, "P14D"])),
            "expiry": draw(st.sampled_from(EXPIRIES)),
            "negative_balance": draw(st.sampled_from(["allow", "allow", "clamp"])),
        },
        "redemption": draw(st.sampled_from([REDEMPTIONS[0], *REDEMPTIONS])),
        "refunds": {"rounding": draw(st.sampled_from(["half_up", "floor", "ceil"]))},
    }


CUSTOMERS = st.sampled_from(["ann"] * 6 + ["bob"] * 3 + ["cy é"])
#: None is one that was not used before.
ORDER_IDS = st.sampled_from(["1", "2:3", None, None, None, None])
REFUND_IDS = st.sampled_from(["a", "b", None, None, None, None])
AMOUNTS = st.one_of(st.sampled_from([0, 1, 99, 100, 999, 1000, 1001, 5000, 12_345]), st.integers(0, 20_000))
POINTS = st.one_of(st.integers(1, 60), st.sampled_from([5, 20, 100, 200]))
#: Where to redeem so many points, or a part of what is available: all of it, one more, half.
REDEEMED = st.sampled_from([1, 5, 20, 50, 100, "all", "all", "half", "half", "half", "one more"])
#: When something happened, before now; a minute ahead is a clock that differs, an hour ahead is refused.
LONG_AGO = [MINUTE, 3 * DAY, 14 * DAY, 40 * DAY, 200 * DAY, 400 * DAY]
AGES = st.sampled_from([None] * 6 + [timedelta(0), *LONG_AGO, -MINUTE, -60 * MINUTE])
WAITS = st.sampled_from(
    [
        timedelta(microseconds=1),
        MINUTE,
        30 * MINUTE,
        60 * MINUTE,
        DAY,
        14 * DAY,
        31 * DAY,
        183 * DAY,
        366 * DAY,
    ]
)
BEHIND = st.sampled_from([timedelta(microseconds=1), timedelta(seconds=1), 2 * MINUTE, 20 * DAY])
LINES = st.lists(
    st.tuples(st.sampled_from([1, 1, 2, 3, 7]), st.sampled_from([0, 1, 100, 1000, 2000, 999, 50])),
    min_size=1,
    max_size=3,
)
PARTS = st.sampled_from([(0, 0, 0), (0, 0, 0), (500, 0, 0), (0, 17, 5), (1, 16, 0), (2000, 10, 10)])
HOLDS = st.sampled_from(["PT30M", "PT30M", "PT1M", "P1M", "P14D"])
WHICH = st.integers(0, 5)


# -- where the commands go ------------------------------------------------------------------------------


class Store(Protocol):
    """Something that carries out commands and can say what it keeps of a customer."""

    def execute(self, submissions: Sequence[Submission], now: datetime) -> list[Answer]: ...

    def publish(self, document: dict[str, Any], effective_from: datetime, now: datetime) -> None: ...

    def account(self, customer_id: str) -> Account | None: ...

    def lots(self, customer_id: str) -> list[Lot]: ...

    def balance(self, customer_id: str, at: datetime, now: datetime) -> Balance:
        """What a statement of the customer shows as of ``at``, past or future."""

    def check(self, replayed: Ledger) -> None:
        """Check what is stored against every law, and against what a replay in memory made of it."""

    def close(self) -> None: ...


class InMemory:
    """The decisions alone, with dicts for a database."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.execute, self.publish = self.ledger.execute, self.ledger.publish

    def account(self, customer_id: str) -> Account | None:
        return self.ledger.accounts.get(customer_id)

    def lots(self, customer_id: str) -> list[Lot]:
        return [self.ledger.lots[customer_id][seq] for seq in sorted(self.ledger.lots[customer_id])]

    def balance(self, customer_id: str, at: datetime, now: datetime) -> Balance:
        occurred_at = {each.seq: each.occurred_at for each in self.ledger.entries[customer_id]}
        lots = [
            Credit(each.lot_seq, each.points, occurred_at[each.lot_seq], *_the_rest(each))
            for each in self.lots(customer_id)
        ]
        takings = [
            Taking(occurred_at[place[0]], *place, points)
            for place, points in self.ledger.consumptions[customer_id].items()
        ]
        holds = [
            Hold(seq, each.hold_expires_at)
            for seq, each in self.ledger.redemptions[customer_id].items()
            if each.hold_expires_at is not None
        ]
        return balance_at(lots, takings, holds, self.ledger.accounts[customer_id].inactive_at, at)

    def check(self, replayed: Ledger) -> None:
        check_laws(self.ledger)
        assert self.ledger.rows() == replayed.rows()

    def close(self) -> None:
        pass


@dataclass
class Sent:
    """A command on its way, what the model says of it, and what came back."""

    submission: Submission
    kind: str
    customer_id: str
    given: dict[str, Any]
    facts: dict[str, Any] | None = None
    codes: tuple[str, ...] = ()
    repeats: "Sent | None" = None
    is_remembered: bool = False
    answer: Answer | None = None
    spending: "Spending | None" = None


@dataclass
class Spending:
    """A redemption that was placed; its id is known once its answer is."""

    customer_id: str
    number: int
    redemption_id: str | None = None


@dataclass
class Log:
    """Everything that was done, to be done again."""

    programs: list[tuple[int, dict[str, Any], datetime, datetime]] = field(default_factory=list)
    batches: list[tuple[datetime, list[Sent]]] = field(default_factory=list)


class Shop(RuleBasedStateMachine):
    """The rules; a subclass or factory gives it a store."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.model = Model()
        self.log = Log()
        self.now = START
        self.lag = timedelta(0)
        self.waiting: list[Sent] = []
        self.room = 0
        self.sent: list[Sent] = []
        self.keys: dict[tuple[str, str], Sent] = {}
        self.spendings: list[Spending] = []
        #: What each customer had at past instants.
        self.seen: dict[str, dict[datetime, dict[str, int]]] = {}

    # The program.

    @initialize(document=documents())
    def open(self, document: dict[str, Any]) -> None:
        self._publish(document, EPOCH)
        for customer_id in ("ann", "bob"):
            self._buy(customer_id, "first", 9_900, (0, 0, 0), [], None, "USD")

    @precondition(lambda self: len(self.model.versions) < 4)
    @rule(document=documents(), ago=st.sampled_from([timedelta(0), timedelta(0), DAY, 30 * DAY, -7 * DAY]))
    def publish(self, document: dict[str, Any], ago: timedelta) -> None:
        self.flush()
        self._publish(document, self.now - ago)

    def _publish(self, document: dict[str, Any], effective_from: datetime) -> None:
        self.store.publish(document, effective_from, self.now)
        self.model.publish(document, effective_from)
        self.log.programs.append((len(self.log.batches), document, effective_from, self.now))

    # Time.

    @rule(wait=WAITS)
    def time_passes(self, wait: timedelta) -> None:
        self._go_on(self.now + wait)

    @rule(customer_id=CUSTOMERS, off=st.sampled_from([-1, 0, 0, 1]), which=st.integers(0, 5))
    def time_passes_until_something_is_due(self, customer_id: str, off: int, which: int) -> None:
        self.flush()
        customer = self.model.customers.get(customer_id)
        if customer is None:
            return
        instants = {
            at for lot in customer.lots if lot.left for at in (lot.available_at, customer.expiry(lot))
        }
        instants |= {
            each.lapses_at for each in customer.spendings if each.status == "held" and each.lapses_at
        }
        ahead = sorted(at for at in instants if self.now < at and at.year < 3000)
        if ahead:
            self._go_on(max(self.now, ahead[min(which, len(ahead) - 1)] + timedelta(microseconds=off)))

    def _go_on(self, now: datetime) -> None:
        self.flush()
        if now > self.now:
            for customer_id, customer in self.model.customers.items():
                if customer.clock <= self.now:
                    seen = self.seen.setdefault(customer_id, {})
                    seen[self.now] = self.model.peek(customer_id, self.now)
        self.now = now
        self._check_caches()

    @rule(customer_id=CUSTOMERS, which=st.integers(0, 9), ahead=st.sampled_from([timedelta(0)]) | WAITS)
    def read_statements(self, customer_id: str, which: int, ahead: timedelta) -> None:
        """What was, what is, and what will be if nothing happens."""
        self.flush()
        customer = self.model.customers.get(customer_id)
        if customer is None or customer.clock > self.now:
            return
        then = self.now + ahead
        assert _shown(self.store.balance(customer_id, then, self.now)) == self.model.peek(customer_id, then)
        past = sorted(self.seen.get(customer_id, {}).items())
        if past:
            then, figures = past[which % len(past)]
            assert _shown(self.store.balance(customer_id, then, self.now)) == figures, then

    def _forget_what_was_seen_since(self, customer_id: str, at: datetime) -> None:
        """A late command changes what was: what it happened before is another past now."""
        seen = self.seen.get(customer_id, {})
        self.seen[customer_id] = {then: figures for then, figures in seen.items() if then < at}

    def _check_caches(self) -> None:
        """What an account says without being asked for anything must hold until the instant that it names."""
        for customer_id, customer in self.model.customers.items():
            account = self.store.account(customer_id)
            assert account is not None
            is_true = account.next_change_at is None or account.next_change_at > self.now
            if is_true and customer.clock <= self.now:
                assert _figures(account) == self.model.peek(customer_id, self.now), customer_id

    # Batches.

    @rule(count=st.integers(2, 6))
    def gather(self, count: int) -> None:
        self.flush()
        self.room = count

    def flush(self) -> None:
        if not self.waiting:
            return
        batch, at = self.waiting, self.now - self.lag
        self.waiting, self.room, self.lag = [], 0, timedelta(0)
        self.log.batches.append((at, batch))
        answers = self.store.execute([each.submission for each in batch], at)
        for sent, answer in zip(batch, answers, strict=True):
            sent.answer = answer
            self._check_answer(sent, answer)
        for customer_id in {each.customer_id for each in batch} & set(self.model.customers):
            self._check_customer(customer_id)

    def send(
        self, kind: str, customer_id: str, command: Command, key: str | None = None, **given: Any
    ) -> None:
        """Ask the model what must come of a command, and put it on its way."""
        key = key or f"k{len(self.sent)}"
        self._queue(
            Sent(Submission(command, None if kind == "settle" else key, "test"), kind, customer_id, given)
        )

    def _queue(self, sent: Sent) -> None:
        key = sent.submission.idempotency_key
        known = self.keys.get((sent.customer_id, key)) if key else None
        if known is not None and known.submission is sent.submission:
            sent.repeats = known
        elif known is not None:
            sent.codes = ("idempotency-key-reused",)
        else:
            self._ask_the_model(sent)
            if key and sent.is_remembered:
                self.keys[sent.customer_id, key] = sent
        self.sent.append(sent)
        self.waiting.append(sent)
        if len(self.waiting) >= self.room:
            self.flush()

    def _ask_the_model(self, sent: Sent) -> None:
        try:
            sent.facts = self.model.do(sent.kind, sent.customer_id, self.now - self.lag, **sent.given)
        except Refused as refused:
            sent.codes = refused.codes
        sent.is_remembered = sent.customer_id in self.model.customers
        at = sent.given.get("at") or self.now
        self._forget_what_was_seen_since(sent.customer_id, min(at, self.now - self.lag))
        if sent.kind == "redeem" and sent.facts is not None:
            number = len(self.model.customers[sent.customer_id].spendings) - 1
            sent.spending = Spending(sent.customer_id, number)
            self.spendings.append(sent.spending)

    def _check_answer(self, sent: Sent, answer: Answer) -> None:
        body = json.loads(answer.body)
        if sent.repeats is not None:
            assert sent.repeats.answer is not None
            assert (answer.status, answer.body) == (sent.repeats.answer.status, sent.repeats.answer.body)
            assert answer.replayed
            return
        assert not answer.replayed
        if sent.facts is None:
            assert body.get("code") in sent.codes, (sent.submission, body, sent.codes)
            assert answer.status == body["status"]
            return
        assert answer.status in (200, 201), (sent.submission, body, sent.facts)
        told = {name: _instant(body[name]) if name.endswith("_at") else body[name] for name in sent.facts}
        assert told == sent.facts, (sent.submission, told, sent.facts)
        if sent.spending is not None:
            sent.spending.redemption_id = body["redemption_id"]

    def _check_customer(self, customer_id: str) -> None:
        customer, account = self.model.customers[customer_id], self.store.account(customer_id)
        assert account is not None
        assert account.as_of == customer.clock
        assert _figures(account) == customer.figures(customer.clock)
        stored = [
            (
                lot.points,
                lot.remaining,
                lot.expired,
                lot.written_off,
                lot.available_at,
                lot.expiry(account.inactive_at),
            )
            for lot in self.store.lots(customer_id)
        ]
        expected = [
            (
                lot.points,
                lot.left,
                lot.expired,
                lot.forgiven,
                lot.available_at,
                _or_none(customer.expiry(lot)),
            )
            for lot in customer.lots
        ]
        assert stored == expected, customer_id

    # Awards.

    @rule(
        customer_id=CUSTOMERS,
        order_id=ORDER_IDS,
        total=AMOUNTS,
        parts=PARTS,
        age=AGES,
        currency=st.sampled_from(["USD"] * 19 + ["EUR"]),
    )
    def buy(
        self,
        customer_id: str,
        order_id: str | None,
        total: int,
        parts: tuple[int, int, int],
        age: timedelta | None,
        currency: str,
    ) -> None:
        """``parts`` are the discount, and tax and shipping in percent."""
        self._buy(customer_id, order_id, total, parts, [], age, currency)

    @rule(customer_id=CUSTOMERS, order_id=ORDER_IDS, lines=LINES, parts=PARTS, age=AGES)
    def buy_several_things(
        self,
        customer_id: str,
        order_id: str | None,
        lines: list[tuple[int, int]],
        parts: tuple[int, int, int],
        age: timedelta | None,
    ) -> None:
        """``lines`` are units and what they cost together."""
        total = max(sum(minor for _, minor in lines) - parts[0], 0)
        total += total * (parts[1] + parts[2]) // 100
        items = [
            {"line_id": str(number), "quantity": units, "amount_minor": minor}
            for number, (units, minor) in enumerate(lines, 1)
        ]
        self._buy(customer_id, order_id, total, parts, items, age, "USD")

    def _buy(
        self,
        customer_id: str,
        order_id: str | None,
        total: int,
        parts: tuple[int, int, int],
        items: list[dict[str, Any]],
        age: timedelta | None,
        currency: str,
    ) -> None:
        order_id = order_id or f"o{len(self.sent)}"
        body = {
            "type": "purchase",
            "order_id": order_id,
            "total_minor": total,
            "currency": currency,
            "discount_minor": parts[0],
            "tax_minor": total * parts[1] // 200,
            "shipping_minor": total * parts[2] // 200,
            "items": items,
        }
        self._award(customer_id, f"purchase:{order_id}", body, age)

    @rule(customer_id=CUSTOMERS, name=st.sampled_from(["app", "app", "quiz", "signup"]), age=AGES)
    def do_something_else(self, customer_id: str, name: str, age: timedelta | None) -> None:
        if name == "signup":
            self._award(customer_id, name, {"type": name}, age)
        else:
            self._award(customer_id, f"custom:{name}:{len(self.sent)}", {"type": "custom", "name": name}, age)

    def _award(self, customer_id: str, name: str, body: dict[str, Any], age: timedelta | None) -> None:
        at = None if age is None else self.now - age
        command = Award.model_validate({"customer_id": customer_id, "occurred_at": at, "activity": body})
        self.send("award", customer_id, command, at=at, name=name, body=body)

    # Redemptions.

    @rule(
        customer_id=CUSTOMERS,
        points=REDEEMED,
        which=WHICH,
        total=st.none() | st.integers(0, 400),
        times=st.sampled_from([1, 1, 2]),
    )
    def redeem(self, customer_id: str, points: int | str, which: int, total: int | None, times: int) -> None:
        order_id, _, _ = self._order(customer_id, which)
        for _ in range(times):
            self._redeem(customer_id, points, order_id, total, None)

    @rule(customer_id=CUSTOMERS, points=REDEEMED, order_id=st.sampled_from(["1", None]), lasts=HOLDS)
    def hold(self, customer_id: str, points: int | str, order_id: str | None, lasts: str) -> None:
        self._redeem(customer_id, points, order_id, 1000, lasts)

    @rule(customer_id=CUSTOMERS, which=WHICH, lasts=st.sampled_from([None, "PT30M", "P1M"]))
    def spend_it_all_and_return_an_order(self, customer_id: str, which: int, lasts: str | None) -> None:
        if lasts:
            self._redeem(customer_id, "half", None, 1000, lasts)
        self._redeem(customer_id, "all", None, 1000, None)
        self._refund(customer_id, self._order(customer_id, which or 1)[0], None, None, full=True)

    def _redeem(
        self, customer_id: str, points: int | str, order_id: str | None, total: int | None, lasts: str | None
    ) -> None:
        if isinstance(points, str):
            known = customer_id in self.model.customers
            available = self.model.peek(customer_id, self.now)["available"] if known else 0
            points = {"all": available, "half": available // 2, "one more": available + 1}[points] or 1
        command = Redeem(
            customer_id=customer_id,
            points=points,
            order_id=order_id,
            order_total_minor=total,
            hold=lasts is not None,
            hold_expires_in=None if lasts == "PT30M" else lasts,
        )
        self.send("redeem", customer_id, command, points=points, order_id=order_id, total=total, lasts=lasts)

    def _chosen(self, which: int, *status: str) -> Spending:
        """One of the redemptions, the latest first, mostly of those that something can be done with."""
        fit = [each for each in self.spendings if self._of(each).status in status] if which else []
        among = fit or self.spendings
        spending = among[-1 - which % len(among)]
        if spending.redemption_id is None:
            self.flush()
        return spending

    def _of(self, spending: Spending) -> Any:
        return self.model.customers[spending.customer_id].spendings[spending.number]

    def _some_are(self, status: str) -> bool:
        return any(self._of(each).status == status for each in self.spendings)

    @precondition(lambda self: self._some_are("held"))
    @rule(which=WHICH, points=st.none() | st.integers(1, 40), nearly=st.booleans())
    def capture(self, which: int, points: int | None, nearly: bool) -> None:
        chosen = self._chosen(which, "held")
        if nearly and points is not None:
            points = max(self._of(chosen).points + 2 - points, 1)
        command = Capture(redemption_id=chosen.redemption_id or "", points=points)
        self.send("capture", chosen.customer_id, command, number=chosen.number, points=points)

    @precondition(lambda self: self._some_are("held"))
    @rule(which=WHICH)
    def void(self, which: int) -> None:
        chosen = self._chosen(which, "held")
        self.send(
            "void", chosen.customer_id, Void(redemption_id=chosen.redemption_id or ""), number=chosen.number
        )

    @precondition(lambda self: self._some_are("captured"))
    @rule(which=WHICH)
    def reverse_a_redemption(self, which: int) -> None:
        chosen = self._chosen(which, "captured")
        command = ReverseRedemption(redemption_id=chosen.redemption_id or "")
        self.send("reverse_redemption", chosen.customer_id, command, number=chosen.number)

    # Refunds.

    def _order(self, customer_id: str, which: int) -> tuple[str, dict[str, Any], list[Refund]]:
        """One of the customer's orders, the latest first; now and then one that is not there."""
        customer = self.model.customers.get(customer_id)
        if customer is None or not customer.orders or which == 0:
            return "1", {"total_minor": 1000, "items": []}, []
        among = [
            name
            for name in customer.orders
            if not any(each.is_full for each in customer.refunds.get(name, []))
        ]
        among = among or list(customer.orders)
        order_id = among[-1 - which % len(among)]
        return order_id, customer.orders[order_id].body, customer.refunds.get(order_id, [])

    @rule(customer_id=CUSTOMERS, which=WHICH, refund_id=REFUND_IDS, age=AGES)
    def refund_in_full(
        self, customer_id: str, which: int, refund_id: str | None, age: timedelta | None
    ) -> None:
        order_id, _, _ = self._order(customer_id, which)
        self._refund(customer_id, order_id, refund_id, age, full=True)

    @rule(
        customer_id=CUSTOMERS,
        which=WHICH,
        refund_id=REFUND_IDS,
        extent=st.sampled_from(["third", "half", "rest", "one more"]) | AMOUNTS,
        age=AGES,
    )
    def refund_an_amount(
        self, customer_id: str, which: int, refund_id: str | None, extent: str | int, age: timedelta | None
    ) -> None:
        order_id, body, refunds = self._order(customer_id, which)
        if isinstance(extent, str):
            total, left = body["total_minor"], body["total_minor"] - sum(each.amount for each in refunds)
            extent = {"third": total // 3, "half": total // 2, "rest": left, "one more": left + 1}[extent]
        self._refund(customer_id, order_id, refund_id, age, amount=max(extent, 1))

    @rule(
        customer_id=CUSTOMERS,
        which=WHICH,
        refund_id=REFUND_IDS,
        lines=st.sampled_from([("1",), ("1",), ("2",), ("3",), ("1", "2"), ("1", "2", "3")]),
        measure=st.sampled_from(["whole", "unit", "unit", "two units", "all units"]) | st.integers(0, 1000),
        times=st.sampled_from([1, 1, 3]),
        age=AGES,
    )
    def refund_lines(
        self,
        customer_id: str,
        which: int,
        refund_id: str | None,
        lines: tuple[str, ...],
        measure: str | int,
        times: int,
        age: timedelta | None,
    ) -> None:
        order_id, body, _ = self._order(customer_id, which)
        known = {item["line_id"]: item["quantity"] for item in body["items"]}
        items: list[dict[str, Any]] = []
        for line_id in [each for each in lines if each in known] or lines:
            units = {"unit": 1, "two units": 2, "all units": known.get(line_id, 1)}.get(str(measure))
            line = {"line_id": line_id, "quantity": units} if units else {"line_id": line_id}
            items.append({**line, "amount_minor": measure} if isinstance(measure, int) else line)
        for _ in range(times):
            self._refund(customer_id, order_id, refund_id, age, items=items)

    def _refund(
        self, customer_id: str, order_id: str, refund_id: str | None, age: timedelta | None, **extent: Any
    ) -> None:
        refund_id = refund_id or f"r{len(self.sent)}"
        at = None if age is None else self.now - age
        command = Reverse.model_validate(
            {
                "customer_id": customer_id,
                "order_id": order_id,
                "refund_id": refund_id,
                "occurred_at": at,
                "full": extent.get("full", False),
                "amount_minor": extent.get("amount"),
                "items": extent.get("items"),
            }
        )
        self.send("reverse", customer_id, command, at=at, order_id=order_id, refund_id=refund_id, **extent)

    @rule(
        customer_id=CUSTOMERS,
        which=WHICH,
        refund_id=REFUND_IDS,
        minor=AMOUNTS,
        age=AGES,
        nearly=st.booleans(),
    )
    def refund_that_names_no_order(
        self,
        customer_id: str,
        which: int,
        refund_id: str | None,
        minor: int,
        age: timedelta | None,
        nearly: bool,
    ) -> None:
        if nearly:
            minor = self._order(customer_id, which)[1]["total_minor"]
        at = self.now - (age or timedelta(0))
        refund_id = refund_id or f"r{len(self.sent)}"
        command = Return(
            customer_id=customer_id, refund_id=refund_id, occurred_at=at, amount_minor=max(minor, 1)
        )
        self.send("return_unmatched", customer_id, command, at=at, refund_id=refund_id, amount=max(minor, 1))

    # Adjustments, and what is rare.

    @rule(
        customer_id=CUSTOMERS,
        points=st.one_of(POINTS, POINTS.map(lambda points: -points)),
        force=st.booleans(),
    )
    def adjust(self, customer_id: str, points: int, force: bool) -> None:
        command = Adjust(customer_id=customer_id, points=points, reason="why", allow_negative=force)
        self.send("adjust", customer_id, command, points=points, allow_negative=force)

    @precondition(lambda self: self.sent)
    @rule(
        what=st.sampled_from(
            ["a job", "the same again", "the same again", "another under its key", "a slow clock"]
        ),
        customer_id=CUSTOMERS,
        which=st.integers(0, 30),
        behind=BEHIND,
    )
    def something_rare_happens(self, what: str, customer_id: str, which: int, behind: timedelta) -> None:
        earlier = self.sent[-1 - which % len(self.sent)]
        match what:
            case "a job":
                self.send("settle", customer_id, Settle(customer_id=customer_id))
            case "the same again":
                self._queue(Sent(earlier.submission, earlier.kind, earlier.customer_id, earlier.given))
            case "another under its key":
                points = 1000 + len(self.sent)
                command = Adjust(customer_id=earlier.customer_id, points=points, reason="other")
                key = earlier.submission.idempotency_key
                self.send("adjust", earlier.customer_id, command, key, points=points, allow_negative=False)
            case _:
                self.flush()
                self.lag = behind

    # The end.

    def teardown(self) -> None:
        try:
            self.flush()
            if self.log.programs:
                self.store.check(self.replay(one_by_one=True))
                self.store.check(self.replay(one_by_one=False))
        finally:
            self.store.close()

    def replay(self, *, one_by_one: bool) -> Ledger:
        """Do it all again on an empty ledger: each command alone, or all that came at one instant together."""
        ledger = Ledger()
        programs = list(self.log.programs)
        gathered: list[Submission] = []
        instant = START
        for number, (at, batch) in enumerate(self.log.batches):
            is_published = bool(programs) and programs[0][0] <= number
            if gathered and (at != instant or is_published or one_by_one):
                ledger.execute(gathered, instant)
                gathered = []
            while programs and programs[0][0] <= number:
                _, document, effective_from, now = programs.pop(0)
                ledger.publish(document, effective_from, now)
            instant = at
            for sent in batch:
                if one_by_one:
                    ledger.execute([sent.submission], at)
                else:
                    gathered.append(sent.submission)
        if gathered:
            ledger.execute(gathered, instant)
        return ledger


def _figures(account: Account) -> dict[str, int]:
    return {name: getattr(account, name) for name in ("available", "pending", "held", "deficit")}


def _shown(balance: Balance) -> dict[str, int]:
    figures = {name: getattr(balance, name) for name in ("available", "pending", "held", "deficit")}
    assert sum(points for _, points, _ in balance.expirations()) == figures["available"] + figures["pending"]
    assert sum(points for _, points in balance.arrivals()) == figures["pending"]
    return figures


def _the_rest(lot: Lot) -> tuple[datetime, datetime | None, bool, int]:
    return lot.available_at, lot.expires_at, lot.expires_on_inactivity, lot.written_off


def _or_none(at: datetime) -> datetime | None:
    return None if at.year == datetime.max.year else at


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
