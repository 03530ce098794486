"""A made-up shop: who joined, bought, sent back and answered what, over two years. Pure, and always the same.

How people behave is drawn from simple models: most buy once or twice, some stay for long; December is busy; a
part of the orders comes back; who likes the shop answers surveys kindly. Nothing here knows about points, but who is
held out of the program leaves sooner: so here, as in no real shop, it is known what the program changes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import groupby
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from rewards.program.holdout import arm_of

CUSTOMERS = 1_200
DAYS = 730
SEED = 20_260_101
ZONE = ZoneInfo("Europe/London")

#: The holdout of the shop's program, by which its lots are drawn. Of some hundred salts this one has arms that are much
#: alike, so that so small a shop shows about what is true. A real shop has one draw, and must not look for better.
HOLDOUT_SALT, HOLDOUT_PCT = "wren-and-thistle-lots-105", 20
#: The program's true effect: without it, a customer is this much likelier to leave for good after each order. That
#: makes about 43 % of new customers come back within 90 days instead of 50 %: 7 points.
LEAVES_SOONER = 1.5

#: SKU, category, price in pence.
CATALOGUE = (
    ("TEA-ASSAM", "tea", 850), ("TEA-DARJEELING", "tea", 1250), ("TEA-MINT", "tea", 695),
    ("COFFEE-HOUSE", "coffee", 995), ("COFFEE-DECAF", "coffee", 1095), ("MUG-BLUE", "kitchen", 1400),
    ("TEAPOT-CAST", "kitchen", 5200), ("TOWEL-LINEN", "kitchen", 1650), ("JAM-QUINCE", "pantry", 560),
    ("BISCUIT-OAT", "pantry", 425), ("HAMPER-SMALL", "gifts", 3900), ("HAMPER-LARGE", "gifts", 8900),
    ("CANDLE-FIG", "gifts", 2400),
)  # fmt: skip
#: How busy each month is, January first.
SEASON = (0.75, 0.8, 0.85, 0.9, 0.95, 0.85, 0.75, 0.75, 0.9, 1.05, 1.5, 1.9)
COMMENTS = ("Lovely tea, quick delivery.", "The jar was broken.", "A present that was liked.", "Rather dear.")
GOODWILL = ("Late delivery", "Broken in transit", "Competition winner")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an order; the amount is for all its units, in pence."""

    line_id: str
    sku: str
    category: str
    quantity: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a customer did."""

    at: datetime
    customer_id: str


@dataclass(frozen=True, slots=True)
class SignedUp(Event):
    """Joined, perhaps because a friend said so."""

    referrer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ordered(Event):
    """Bought; ``pays_with_points`` says whether, and how, points are to pay a part where there are enough."""

    order_id: str
    lines: tuple[Line, ...]
    shipping_minor: int
    pays_with_points: Literal["no", "at once", "hold", "hold and void", "hold and forget"]


@dataclass(frozen=True, slots=True)
class SentBack(Event):
    """Sent lines of an order back; all of it where no lines are named."""

    order_id: str
    refund_id: str
    line_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """Answered the quarter's survey."""

    survey_id: str
    recommend: int
    buy_again: int
    comment: str | None


@dataclass(frozen=True, slots=True)
class Reviewed(Event):
    """Wrote a review."""

    sku: str


@dataclass(frozen=True, slots=True)
class WasCredited(Event):
    """Was given points by the shop's staff."""

    points: int
    reason: str


@dataclass(slots=True)
class _Person:
    customer_id: str
    joined_at: datetime
    orders_a_year: float
    leaves_after_order: float
    basket: float
    kindness: float
    likes_points: float
    wrote: set[str] = field(default_factory=set)


def takes_part(customer_id: str) -> bool:
    """Tell whether the lot lets a customer take part in the program."""
    return arm_of(HOLDOUT_SALT, customer_id, HOLDOUT_PCT) == "program"


def events(opened_on: date, takes_part: Callable[[str], bool] = takes_part) -> list[Event]:
    """Return all that happened in the shop's first two years, in the order of time.

    Args:
        opened_on: the shop's first day; the same day gives the same events.
        takes_part: who lives with the program; by the shop's lots, unless given. With everybody, and with nobody, it
            tells the true effect: each customer's life is the same up to where the program makes a difference.
    """
    random = Random(SEED)  # noqa: S311 - a shop that is the same each time, not a secret
    happened: list[Event] = []
    people: list[_Person] = []
    for number, joined_at in enumerate(_joining(random, opened_on), 1):
        referrer = random.choice(people).customer_id if people and random.random() < 0.1 else None
        customer_id = f"customer-{number:04d}"
        # Each has fortunes of their own, so that nobody's life depends on how long another stays.
        own = Random(f"{SEED}:{customer_id}")  # noqa: S311 - as above
        person = _person(own, customer_id, joined_at, 1.0 if takes_part(customer_id) else LEAVES_SOONER)
        people.append(person)
        happened.append(SignedUp(joined_at, person.customer_id, referrer))
        happened.extend(_life(own, person, opened_on + timedelta(days=DAYS), first_order=number * 100))
    happened.extend(_regretted(f"customer-{CUSTOMERS + 1:04d}", opened_on + timedelta(days=DAYS - 60)))
    happened.sort(key=lambda event: (event.at, event.customer_id))
    return happened


def _regretted(customer_id: str, joined_on: date) -> Iterator[Event]:
    """Yield the story of someone who spends the points of an order and then sends that order back."""
    at = datetime.combine(joined_on, time(11), ZONE)
    yield SignedUp(at, customer_id)
    hampers = Line("1", "HAMPER-LARGE", "gifts", 3, 26_700)
    yield Ordered(at + timedelta(minutes=9), customer_id, "9001", (hampers,), 0, "no")
    teapot = Line("1", "TEAPOT-CAST", "kitchen", 1, 5_200)
    yield Ordered(at + timedelta(days=18), customer_id, "9002", (teapot,), 0, "at once")
    yield SentBack(at + timedelta(days=24), customer_id, "9001", "R9001", ())


def _joining(random: Random, opened_on: date) -> list[datetime]:
    """Return when people joined: more in the busy months, and most in the first year."""
    joined: list[datetime] = []
    while len(joined) < CUSTOMERS:
        day = opened_on + timedelta(days=int(DAYS * random.random() ** 1.35))
        if random.random() < SEASON[day.month - 1] / max(SEASON):
            joined.append(_daytime(random, day))
    return sorted(joined)


def _person(random: Random, customer_id: str, joined_at: datetime, leaves: float) -> _Person:
    return _Person(
        customer_id,
        joined_at,
        orders_a_year=0.8 + random.gammavariate(1.3, 5.5),
        leaves_after_order=min(random.betavariate(1.1, 3.2) * leaves, 0.99),
        basket=random.lognormvariate(0.0, 0.35),
        kindness=random.betavariate(5, 2),
        likes_points=random.betavariate(2, 2),
    )


def _life(random: Random, person: _Person, end: date, first_order: int) -> Iterator[Event]:
    """Yield what a person did after joining."""
    at = person.joined_at + timedelta(minutes=random.randint(3, 45))
    number = first_order
    while at.date() < end:
        order = _order(random, person, at, str(10_000 + number))
        yield order
        yield from _aftermath(random, person, order)
        number += 1
        if number - first_order >= 99 or random.random() < person.leaves_after_order:
            return
        at = _next_visit(random, person, at)


def _next_visit(random: Random, person: _Person, at: datetime) -> datetime:
    while True:
        at += timedelta(days=0.6 + random.expovariate(person.orders_a_year / 365 * 1.6))
        if random.random() < SEASON[at.month - 1] / max(SEASON):
            return _daytime(random, at.date())


def _order(random: Random, person: _Person, at: datetime, order_id: str) -> Ordered:
    lines = []
    for number, (sku, category, price) in enumerate(
        random.sample(CATALOGUE, random.choice((1, 1, 2, 2, 3, 4))), 1
    ):
        quantity = max(1, round(person.basket * random.choice((1, 1, 1, 2, 3))))
        lines.append(Line(str(number), sku, category, quantity, price * quantity))
    goods = sum(line.amount_minor for line in lines)
    how: Literal["no", "at once", "hold", "hold and void", "hold and forget"] = "no"
    if random.random() < person.likes_points:
        how = random.choices(("at once", "hold", "hold and void", "hold and forget"), (70, 24, 4, 2))[0]
    return Ordered(at, person.customer_id, order_id, tuple(lines), 0 if goods >= 4000 else 395, how)


def _aftermath(random: Random, person: _Person, order: Ordered) -> Iterator[Event]:
    """Yield what followed from an order: things sent back, a survey, a review, points out of goodwill."""
    who = person.customer_id
    if random.random() < 0.07:
        some = tuple(line.line_id for line in random.sample(order.lines, random.randint(1, len(order.lines))))
        whole = len(some) == len(order.lines)
        first, last = (3, 26) if random.random() < 0.85 else (40, 75)  # a few of them late
        yield SentBack(
            _later(random, order.at, first, last),
            who,
            order.order_id,
            f"R{order.order_id}",
            () if whole else some,
        )
    if random.random() < 0.22:
        at = _later(random, order.at, 2, 9)
        survey_id = f"shop-{at.year}q{(at.month + 2) // 3}"
        if survey_id not in person.wrote:
            person.wrote.add(survey_id)
            yield _answers(random, person, at, survey_id)
    sku = random.choice(order.lines).sku
    if random.random() < 0.08 and sku not in person.wrote:
        person.wrote.add(sku)
        yield Reviewed(_later(random, order.at, 4, 20), who, sku)
    if random.random() < 0.006:
        yield WasCredited(
            _later(random, order.at, 1, 10), who, random.choice((100, 200, 500)), random.choice(GOODWILL)
        )


def _answers(random: Random, person: _Person, at: datetime, survey_id: str) -> Answered:
    recommend = min(10, max(0, round(random.gauss(3.5 + 6.8 * person.kindness, 1.3))))
    comment = random.choice(COMMENTS) if random.random() < 0.3 else None
    return Answered(
        at, person.customer_id, survey_id, recommend, min(10, recommend + random.randint(0, 1)), comment
    )


def _later(random: Random, at: datetime, first: int, last: int) -> datetime:
    return _daytime(random, (at + timedelta(days=random.randint(first, last))).date())


def _daytime(random: Random, day: date) -> datetime:
    return datetime.combine(day, time(8), ZONE) + timedelta(
        seconds=int(13.5 * 3600 * random.betavariate(1.8, 1.5))
    )


def spells(
    happened: Sequence[Event], opened_on: date, length_days: int
) -> Iterator[tuple[date, list[Event]]]:
    """Yield the events of each ``length_days`` days in which there were any, with the last of those days."""
    for number, spell in groupby(happened, lambda event: (event.at.date() - opened_on).days // length_days):
        yield opened_on + timedelta(days=(number + 1) * length_days - 1), list(spell)
