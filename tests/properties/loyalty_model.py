"""A tiny model of the ledger: what each command must answer, in plain Python and nothing of the engine's.

It knows no entries, digests, caches or database: a customer is a list of lots and a few dicts, time is a loop
over what falls due, and fractions are rounded where the rules say so. Where it and the engine disagree, one of
them is wrong.
"""

import re
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Any
from zoneinfo import ZoneInfo

FOREVER = datetime.max.replace(tzinfo=UTC)
SKEW = timedelta(minutes=5)

Document = dict[str, Any]
Facts = dict[str, Any]


class Refused(Exception):
    """The command must be refused, for one of these reasons."""

    def __init__(self, *codes: str) -> None:
        super().__init__(*codes)
        self.codes = codes


def rounded(value: Fraction, how: str) -> int:
    return {"floor": floor(value), "ceil": ceil(value), "half_up": floor(value + Fraction(1, 2))}[how]


# -- the calendar ---------------------------------------------------------------------------------------


def later(at: datetime, period: str | None, zone: ZoneInfo) -> datetime:
    """``at`` plus ``P<n>M`` or ``P<n>D`` on the zone's calendar, or ``PT<n>M`` of elapsed time."""
    if period is None:
        return at
    found = re.fullmatch(r"P(T?)(\d+)([MD])", period)
    assert found is not None
    is_elapsed, count, unit = found[1], int(found[2]), found[3]
    if is_elapsed:
        return at + timedelta(minutes=count)
    wall = at.astimezone(zone).replace(tzinfo=None)
    if unit == "D":
        wall += timedelta(days=count)
    else:
        month = wall.year * 12 + wall.month - 1 + count
        first = wall.replace(year=month // 12, month=month % 12 + 1, day=1)
        wall = min(first + timedelta(days=wall.day - 1), first_of_next_month(first) - timedelta(days=1))
    return wall.replace(tzinfo=zone).astimezone(UTC)


def first_of_next_month(wall: datetime) -> datetime:
    return (wall.replace(day=1) + timedelta(days=32)).replace(day=1)


def expiry_of(document: Document, at: datetime) -> datetime | None:
    policy, zone = document["points"]["expiry"], ZoneInfo(document["timezone"])
    match policy["type"]:
        case "after":
            end = later(at, policy["period"], zone)
            if policy.get("round_up_to") == "month":
                midnight = end.astimezone(zone).replace(
                    hour=0, minute=0, second=0, microsecond=0, tzinfo=None
                )
                end = first_of_next_month(midnight).replace(tzinfo=zone).astimezone(UTC)
            return end
        case "dates":
            day = later(at, policy.get("minimum_life"), zone).astimezone(zone).date()
            while day.strftime("%m-%d") not in policy["dates"]:
                day += timedelta(days=1)
            after = day + timedelta(days=1)
            return datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC)
    return None


# -- what a customer has --------------------------------------------------------------------------------


@dataclass
class Lot:
    number: int
    points: int
    left: int
    available_at: datetime
    expires_at: datetime | None
    of_inactivity: bool
    expired: int = 0
    #: What a refund under a clamped balance let be; taken when it comes back.
    forgiven: int = 0


@dataclass
class Spending:
    """A redemption; ``paid`` are the points by lot that are out, in the order in which they were taken."""

    status: str
    points: int
    document: Document
    order_id: str | None
    placed_at: datetime
    lapses_at: datetime | None
    paid: dict[int, int] = field(default_factory=dict)
    captured: int = 0
    returned: int = 0


@dataclass
class Refund:
    refund_id: str
    amount: int
    lines: dict[str, int]
    taken: list[int]
    is_full: bool


@dataclass
class Order:
    body: dict[str, Any]
    occurred_at: datetime
    document: Document
    version: int
    grants: list[int]
    lot: Lot | None


@dataclass
class Customer:
    clock: datetime
    lots: list[Lot] = field(default_factory=list)
    spendings: list[Spending] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    orders: dict[str, Order] = field(default_factory=dict)
    refunds: dict[str, list[Refund]] = field(default_factory=dict)
    deficit: int = 0
    last_active: datetime | None = None
    deadline: datetime | None = None
    time_took: int = 0
    time_gave: int = 0

    # Time.

    def settle(self, now: datetime) -> None:
        """Let time pass until ``now``, one event after the other."""
        self.time_took = self.time_gave = 0
        while True:
            due = [(at, 0, lot) for lot in self.lots if lot.left and (at := self.expiry(lot)) <= now]
            lapses = [
                (each.lapses_at or FOREVER, 1, each) for each in self.spendings if each.status == "held"
            ]
            events = due + [event for event in lapses if event[0] <= now]
            if not events:
                return
            at, _, what = min(events, key=lambda event: event[:2])
            if isinstance(what, Lot):
                self.expire(what)
            else:
                self.time_gave += what.points
                self.give_back(what, what.points)
                what.status = "expired"
                self.tidy(at)

    def tidy(self, at: datetime) -> None:
        """After points came in: those past their expiry go, and the rest pays what is owed."""
        for lot in self.lots:
            if self.expiry(lot) <= at:
                self.expire(lot)
            back = min(lot.forgiven, lot.left)
            lot.forgiven -= back
            lot.left -= back
        self.deficit -= self.take(self.deficit, self.open_lots(at))

    def expire(self, lot: Lot) -> None:
        self.time_took += lot.left
        lot.expired += lot.left
        lot.left = 0

    def expiry(self, lot: Lot) -> datetime:
        return (self.deadline if lot.of_inactivity else lot.expires_at) or FOREVER

    def was_active(self, at: datetime, now: datetime, document: Document) -> None:
        last = max(at, self.last_active or at)
        if self.deadline is not None and self.deadline <= now:
            # What died stays dead, also what will yet come back to it.
            for lot in self.lots:
                if lot.of_inactivity:
                    lot.of_inactivity, lot.expires_at = False, self.deadline
        policy = document["points"]["expiry"]
        deadline = None
        if policy["type"] == "inactivity":
            deadline = later(last, policy["period"], ZoneInfo(document["timezone"]))
        if self.deadline is not None:
            assert self.last_active is not None
            deadline = max(deadline or self.deadline + (last - self.last_active), self.deadline)
        self.last_active, self.deadline = last, deadline

    # Lots.

    def credit(self, points: int, at: datetime, document: Document, *, pending: bool) -> Lot:
        policy, zone = document["points"], ZoneInfo(document["timezone"])
        lot = Lot(
            number=len(self.lots),
            points=points,
            left=points,
            available_at=later(at, policy["pending"], zone) if pending else at,
            expires_at=expiry_of(document, at),
            of_inactivity=policy["expiry"]["type"] == "inactivity",
        )
        if points:
            self.lots.append(lot)
        return lot

    def in_order(self, lots: list[Lot]) -> list[Lot]:
        return sorted(lots, key=lambda lot: (self.expiry(lot), lot.number))

    def open_lots(self, now: datetime) -> list[Lot]:
        return sorted(self.in_order(self.lots), key=lambda lot: lot.available_at > now)

    def take(self, points: int, lots: list[Lot], paid: dict[int, int] | None = None) -> int:
        left = points
        for lot in lots:
            part = min(left, lot.left)
            lot.left -= part
            left -= part
            if paid is not None and part:
                paid[lot.number] = paid.get(lot.number, 0) + part
        return points - left

    def give_back(self, spending: Spending, points: int) -> None:
        """Put points back into the lots that paid, the last to be used first."""
        payers = self.in_order([self.lots[number] for number, part in spending.paid.items() if part])
        for lot in reversed(payers):
            part = min(points, spending.paid[lot.number])
            spending.paid[lot.number] -= part
            lot.left += part
            points -= part
        assert points == 0

    def figures(self, now: datetime) -> dict[str, int]:
        return {
            "available": sum(lot.left for lot in self.lots if lot.available_at <= now),
            "pending": sum(lot.left for lot in self.lots if lot.available_at > now),
            "held": sum(each.points for each in self.spendings if each.status == "held"),
            "deficit": self.deficit,
        }


# -- what the shop does ---------------------------------------------------------------------------------


@dataclass
class Version:
    number: int
    document: Document
    effective_from: datetime


class Model:
    """All customers of a shop, under its published programs; the first replaces the starter program."""

    def __init__(self) -> None:
        self.customers: dict[str, Customer] = {}
        self.versions: list[Version] = []

    def publish(self, document: Document, effective_from: datetime) -> None:
        self.versions.append(Version(len(self.versions) + 2, document, effective_from))

    def in_force(self, at: datetime) -> Version:
        started = [each for each in self.versions if each.effective_from <= at]
        earliest = min(each.effective_from for each in self.versions)
        candidates = started or [each for each in self.versions if each.effective_from == earliest]
        return max(candidates, key=lambda each: (each.effective_from, each.number))

    def peek(self, customer_id: str, now: datetime) -> dict[str, int]:
        """The balance that a customer sees at ``now``, if nothing else happens."""
        customer = deepcopy(self.customers[customer_id])
        customer.settle(now)
        return customer.figures(now)

    def do(self, kind: str, customer_id: str, now: datetime, **given: Any) -> Facts:
        """Carry out a command and return what its answer must hold.

        Raises:
            Refused: it must be refused, and nothing changed.
        """
        known = self.customers.get(customer_id)
        if known is None and kind not in ("award", "adjust"):
            raise Refused("customer-not-found", "redemption-not-found")
        if known is None and kind == "adjust" and given["points"] < 0:
            raise Refused("customer-not-found")
        customer = deepcopy(known) if known else Customer(clock=now)
        # Servers' clocks differ a little; for a customer, time does not run backwards by so little.
        if now < customer.clock <= now + SKEW:
            now = customer.clock
        customer.clock = now
        customer.settle(now)
        facts: Facts = getattr(self, f"_{kind}")(customer, now, **given)
        facts["balance"] = customer.figures(now)
        self.customers[customer_id] = customer
        return facts

    def _award(self, customer: Customer, now: datetime, at: datetime | None, name: str, body: Any) -> Facts:
        at = _past(at, now)
        if name in customer.done:
            raise Refused("already-awarded")
        version = self.in_force(at)
        document = version.document
        if body["type"] == "purchase" and body["currency"] != document["currency"]:
            raise Refused("currency-mismatch")
        grants = [
            _grant(document, rule["gives"], body)
            for rule in document["earn"]
            if rule["activity"] == body["type"]
        ]
        customer.was_active(at, now, document)
        lot = customer.credit(sum(grants), at, document, pending=True)
        if body["type"] == "purchase":
            order = Order(body, at, document, version.number, grants, lot if lot.points else None)
            customer.orders[body["order_id"]] = order
        customer.done.add(name)
        is_expired = customer.expiry(lot) <= now
        expires_at = customer.expiry(lot)
        customer.tidy(now)
        return {
            "points": sum(grants),
            "status": "expired" if is_expired else "pending" if lot.available_at > now else "available",
            "available_at": lot.available_at,
            "expires_at": None if expires_at == FOREVER else expires_at,
            "program_version": version.number,
        }

    def _redeem(
        self,
        customer: Customer,
        now: datetime,
        points: int,
        order_id: str | None,
        total: int | None,
        lasts: str | None,
    ) -> Facts:
        """``lasts`` makes it a hold of that many minutes, as ``PT<n>M``."""
        document = self.in_force(now).document
        policy = document["redemption"]
        reasons = []
        if points < policy["minimum_points"]:
            reasons.append("below-minimum-redemption")
        if points % policy["step_points"]:
            reasons.append("not-a-redemption-step")
        if total is None and order_id in customer.orders:
            total = customer.orders[order_id].body["total_minor"]
        share = policy.get("max_order_share_pct")
        if share is not None and total is None:
            reasons.append("order-total-missing")
        if share is not None and total is not None:
            most = total * share // 100 * policy["points"] // policy["value_minor"]
            most -= most % policy["step_points"]
            if points + _paying_now(customer, order_id) > (most if most >= policy["minimum_points"] else 0):
                reasons.append("exceeds-order-share")
        spendable = [lot for lot in customer.in_order(customer.lots) if lot.available_at <= now]
        if points > sum(lot.left for lot in spendable):
            reasons.append("insufficient-points")
        if reasons:
            raise Refused(*reasons)
        spending = Spending("held" if lasts else "captured", points, document, order_id, now, None)
        customer.take(points, spendable, spending.paid)
        if lasts:
            spending.lapses_at = later(now, lasts, ZoneInfo(document["timezone"]))
        else:
            spending.captured = points
        customer.was_active(now, now, document)
        customer.spendings.append(spending)
        return _told(spending)

    def _capture(self, customer: Customer, now: datetime, number: int, points: int | None) -> Facts:
        spending = self._open_hold(customer, number)
        points = spending.points if points is None else points
        if points > spending.points:
            raise Refused("capture-exceeds-hold")
        payers = customer.in_order([customer.lots[lot] for lot in spending.paid])
        # What the hold took goes back and the captured part is taken from the same lots again, dead or alive.
        had = {lot.number: lot.left for lot in payers}
        held = dict(spending.paid)
        customer.give_back(spending, spending.points)
        assert all(lot.left == had[lot.number] + held[lot.number] for lot in payers)
        spending.paid = {}
        customer.take(points, payers, spending.paid)
        spending.status, spending.captured = "captured", points
        customer.was_active(now, now, spending.document)
        customer.tidy(now)
        return _told(spending)

    def _void(self, customer: Customer, now: datetime, number: int) -> Facts:
        spending = self._open_hold(customer, number)
        customer.give_back(spending, spending.points)
        spending.status = "voided"
        customer.tidy(now)
        return _told(spending)

    def _reverse_redemption(self, customer: Customer, now: datetime, number: int) -> Facts:
        spending = customer.spendings[number]
        if spending.status not in ("captured", "reversed"):
            raise Refused("not-captured")
        if spending.returned == spending.captured:
            raise Refused("already-reversed")
        customer.give_back(spending, spending.captured - spending.returned)
        spending.returned, spending.status = spending.captured, "reversed"
        customer.tidy(now)
        return _told(spending)

    def _reverse(
        self,
        customer: Customer,
        now: datetime,
        at: datetime | None,
        order_id: str,
        refund_id: str,
        **extent: Any,
    ) -> Facts:
        _past(at, now)
        refunds = customer.refunds.get(order_id, [])
        if any(each.refund_id == refund_id for each in refunds):
            raise Refused("already-reversed")
        order = customer.orders.get(order_id)
        if order is None and not (extent.get("full") and _paying(customer, order_id)):
            raise Refused("order-not-found")
        if order is None and all(each.returned == each.captured for each in _paying(customer, order_id)):
            raise Refused("already-reversed")
        total = 0 if order is None else order.body["total_minor"]
        left = total - sum(each.amount for each in refunds)
        if any(each.is_full for each in refunds):
            raise Refused("already-reversed")
        lines: dict[str, int] = {}
        if extent.get("full"):
            amount = left
        elif extent.get("amount") is not None:
            amount = extent["amount"]
        else:
            assert order is not None
            lines = _lines(order.body, refunds, extent["items"])
            amount = min(_worth(order.body, refunds, lines), left)
        if amount > left:
            raise Refused("refund-exceeds-order")
        return self._refund(customer, now, order_id, refund_id, amount, lines)

    def _refund(
        self,
        customer: Customer,
        now: datetime,
        order_id: str,
        refund_id: str,
        amount: int,
        lines: dict[str, int],
    ) -> Facts:
        """Points that paid come back first; then what the award gave is taken, from its own lot first."""
        order, refunds = customer.orders.get(order_id), customer.refunds.setdefault(order_id, [])
        document = self.in_force(now).document if order is None else order.document
        total = 0 if order is None else order.body["total_minor"]
        refunded = amount + sum(each.amount for each in refunds)
        is_full = refunded == total and order is not None
        listed = sum(line["amount_minor"] for line in order.body["items"]) if order is not None else 0
        if total == 0 and lines and listed:
            # No money was paid: the lines' own amounts say how much comes back.
            total, refunded = listed, sum(lines.values()) + sum(sum(each.lines.values()) for each in refunds)
            is_full = refunded == total

        def share(points: int) -> int:
            return (
                points
                if refunded == total
                else rounded(Fraction(points * refunded, total), document["refunds"]["rounding"])
            )

        returned = 0
        for spending in _paying(customer, order_id):
            part = max(share(spending.captured) - spending.returned, 0)
            customer.give_back(spending, part)
            spending.returned += part
            spending.status = "reversed" if spending.returned == spending.captured else spending.status
            returned += part
        customer.tidy(now)
        due, owed = [], 0
        if order is not None:
            before = [
                sum(each.taken[rule] for each in refunds if each.taken) for rule in range(len(order.grants))
            ]
            due = [max(share(points) - taken, 0) for points, taken in zip(order.grants, before, strict=True)]
            owed = self._claw_back(customer, now, order.lot, sum(due))
        written_off = owed if document["points"]["negative_balance"] == "clamp" else 0
        customer.deficit += owed - written_off
        if order is not None and order.lot is not None:
            order.lot.forgiven += written_off
        refunds.append(Refund(refund_id, amount, lines, due, is_full))
        return {
            "amount_minor": amount,
            "points_clawed_back": sum(due) - written_off,
            "points_written_off": written_off,
            "points_reinstated": returned,
        }

    def _claw_back(self, customer: Customer, now: datetime, own: Lot | None, points: int) -> int:
        """Take points back; return those that the customer has not."""
        if own is not None:
            points -= customer.take(points, [own])
            # What expired of the award is gone already.
            gone = min(points, own.expired)
            own.expired -= gone
            points -= gone
        return points - customer.take(points, customer.open_lots(now))

    def _return_unmatched(
        self, customer: Customer, now: datetime, at: datetime, refund_id: str, amount: int
    ) -> Facts:
        at = _past(at, now)
        if any(each.refund_id == refund_id for refunds in customer.refunds.values() for each in refunds):
            raise Refused("already-reversed")
        earlier = sorted(
            ((name, order) for name, order in customer.orders.items() if order.occurred_at <= at),
            key=lambda each: (each[1].occurred_at, list(customer.orders).index(each[0])),
            reverse=True,
        )
        open_minor = {}
        for name, order in earlier:
            refunded = sum(each.amount for each in customer.refunds.get(name, []))
            if order.body["total_minor"] > refunded:
                open_minor[name] = order.body["total_minor"] - refunded
        equal = [name for name, left in open_minor.items() if left == amount]
        covering = [name for name, left in open_minor.items() if left > amount]
        matched, left = [], amount
        for name in (equal or covering)[:1] or open_minor:
            part = min(left, open_minor[name])
            if part:
                matched.append((name, part))
                left -= part
        if not matched:
            raise Refused("order-not-found")
        done = [self._refund(customer, now, name, refund_id, part, {}) for name, part in matched]
        return {
            "matched": [{"order_id": name, "amount_minor": part} for name, part in matched],
            "unmatched_minor": left,
            "points_clawed_back": sum(each["points_clawed_back"] for each in done),
            "points_reinstated": sum(each["points_reinstated"] for each in done),
        }

    def _adjust(self, customer: Customer, now: datetime, points: int, allow_negative: bool) -> Facts:
        document = self.in_force(now).document
        if points < 0:
            if customer.figures(now)["available"] + points < 0 and not allow_negative:
                raise Refused("insufficient-points")
            customer.deficit += -points - customer.take(-points, customer.open_lots(now))
        else:
            is_mortal = document["points"]["expiry"]["type"] == "inactivity"
            if is_mortal and (customer.deadline is None or customer.deadline <= now):
                customer.was_active(now, now, document)
            customer.credit(points, now, document, pending=False)
            customer.tidy(now)
        return {"points": points}

    def _settle(self, customer: Customer, now: datetime) -> Facts:
        return {"points_expired": customer.time_took, "points_released": customer.time_gave}

    def _open_hold(self, customer: Customer, number: int) -> Spending:
        spending = customer.spendings[number]
        if spending.status == "expired":
            raise Refused("hold-expired")
        if spending.status != "held":
            raise Refused("hold-already-resolved")
        return spending


def _told(spending: Spending) -> Facts:
    policy = spending.document["redemption"]
    points = spending.points if spending.captured == 0 else spending.captured
    return {
        "status": spending.status,
        "points": points,
        "points_reinstated": spending.returned,
        "value_minor": points * policy["value_minor"] // policy["points"],
        "expires_at": spending.lapses_at if spending.status == "held" else None,
    }


def _past(at: datetime | None, now: datetime) -> datetime:
    if at is not None and at > now + SKEW:
        raise Refused("occurred-in-future")
    return now if at is None else min(at, now)


def _grant(document: Document, gives: Any, body: Any) -> int:
    if gives["type"] == "fixed":
        return int(gives["points"])
    parts = document["base_amount"]
    base = body["total_minor"]
    base += body["discount_minor"] if parts["discount"] else 0
    base -= 0 if parts["tax"] else body["tax_minor"]
    base -= 0 if parts["shipping"] else body["shipping_minor"]
    blocks = Fraction(max(base, 0), gives["per_minor"])
    if gives.get("whole_blocks"):
        return floor(blocks) * int(gives["points"])
    return rounded(blocks * gives["points"], gives.get("rounding", "floor"))


def _paying_now(customer: Customer, order_id: str | None) -> int:
    on_it = [each for each in customer.spendings if order_id is not None and each.order_id == order_id]
    return sum(each.points if each.status == "held" else each.captured - each.returned for each in on_it)


def _paying(customer: Customer, order_id: str) -> list[Spending]:
    return [each for each in customer.spendings if each.order_id == order_id and each.captured]


def _lines(body: Any, refunds: list[Refund], items: list[dict[str, Any]]) -> dict[str, int]:
    """What a refund takes of each line, in the order's own line amounts."""
    taken = {}
    reasons = set()
    for item in items:
        line = next((line for line in body["items"] if line["line_id"] == item["line_id"]), None)
        if line is None:
            raise Refused("line-not-found", *reasons)
        amount, units = line["amount_minor"], line["quantity"]
        left = amount - sum(each.lines.get(item["line_id"], 0) for each in refunds)
        wanted = item.get("amount_minor", left)
        if "quantity" in item:
            wanted = rounded(Fraction(amount * item["quantity"], units), "half_up")
            # Where units do not divide evenly, the last one to come back takes what the others' rounding left.
            astray = abs(left - wanted)
            if 2 * astray <= units and 2 * astray * units < amount:
                wanted = left
            if item["quantity"] > units:
                reasons.add("refund-exceeds-order")
        if wanted > left or (left == 0 and amount):
            reasons.add("refund-exceeds-order")
        taken[item["line_id"]] = wanted
    if reasons:
        # A line that the order does not have may be among those that follow.
        raise Refused(*reasons, "line-not-found")
    return taken


def _worth(body: Any, refunds: list[Refund], lines: dict[str, int]) -> int:
    """The money that refunded lines are of what was paid, where a discount made that less than their sum."""
    listed = sum(line["amount_minor"] for line in body["items"])
    goods = body["total_minor"] - body["shipping_minor"]
    if listed <= goods:
        return sum(lines.values())
    before = sum(sum(each.lines.values()) for each in refunds)
    after = before + sum(lines.values())
    return rounded(Fraction(after * goods, listed), "half_up") - rounded(
        Fraction(before * goods, listed), "half_up"
    )
