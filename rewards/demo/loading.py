"""Puts the demo shop into a database, a few days at a time through the engine, as a storefront would have.

Each command has an idempotency key, and what is sent together is decided with the time of its last day, so
an interrupted load is simply run again: what is there answers from memory, and the rest follows.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.progress import Progress, unheard
from rewards.decide.commands import Adjust, Award, Capture, Command, Redeem, Reverse, Tag, Void
from rewards.decide.submission import Submission
from rewards.demo import shop
from rewards.demo.people import profile_of, tags_of
from rewards.demo.shop import Answered, Ordered, Reviewed, SentBack, SignedUp, WasCredited
from rewards.engine import Answer, Engine
from rewards.jobs import run_job
from rewards.ledger.statements import read_balance
from rewards.profiles.enrolling import enroll
from rewards.profiles.storing import put_profiles
from rewards.program.document import ProgramDocument
from rewards.program.loading import load_file
from rewards.program.rules import EarnRule, PerAmount
from rewards.program.versions import load_history, publish

ACTOR = "demo"
#: So many days are sent at once, decided with the time of the last one's evening.
SPELL_DAYS = 2
#: A survey of the program that nobody has answered yet.
SURVEY = "three-questions"
PROGRAM = Path(__file__).parent / "program.yaml"
#: Under this name ``job_runs`` keeps whether the shop was loaded to its end.
_LOADED = "demo"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What :func:`load` did.

    Attributes:
        was_there: whether the shop was there already, whole.
        customers, commands: how much there is of each.
        worth_a_look: customers with something to see, and what that is.
    """

    was_there: bool
    customers: int
    commands: int
    worth_a_look: list[tuple[str, str]]


def load(database: Database, now: datetime, progress: Progress = unheard) -> Loaded:
    """Load the shop into a database that is empty, or that has some or all of it.

    Raises:
        SetupError: the database has another shop's customers.
        BusyError: the database does not answer; run it again and it goes on where it stopped.
    """
    with database.engine.begin() as connection:
        was_there = _is_whole(connection)
        if not was_there:
            opened_on = _open_shop(connection, now)
    if not was_there:
        storefront = _Storefront(database, opened_on, now)
        storefront.live_through(progress)
        run_job("release-holds", database, now)
        run_job("expire", database, now)
        _introduce(database, opened_on, now)
        run_job("celebrations", database, now)
        storefront.show_a_hold()
        run_job("segments", database, now)
        run_job("rollups", database, now)
    with database.engine.begin() as connection:
        if not was_there:
            _remember_whole(connection, now)
        customers, commands = connection.execute(
            text("SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM commands)")
        ).one()
        return Loaded(was_there, customers, commands, _worth_a_look(connection, now))


def _is_whole(connection: Connection) -> bool:
    return connection.scalar(text("SELECT ok FROM job_runs WHERE name = :name"), {"name": _LOADED}) is True


def _remember_whole(connection: Connection, now: datetime) -> None:
    connection.execute(
        text(
            "INSERT INTO job_runs (name, due_at, started_at, finished_at, ok, detail)"
            " VALUES (:name, :now, :now, :now, true, 'the demo shop was loaded')"
            " ON CONFLICT (name) DO NOTHING"
        ),
        {"name": _LOADED, "now": now},
    )


def _open_shop(connection: Connection, now: datetime) -> date:
    """Publish the shop's program where it is not, and return the day it opened on."""
    history = load_history(connection)
    ours = [version for version in history.versions if version.published_by == ACTOR]
    if ours:
        return ours[0].effective_from.astimezone(shop.ZONE).date()
    if len(history) > 1 or connection.scalar(text("SELECT count(*) FROM accounts")):
        raise SetupError(
            "This database has a shop of its own, and the demo needs an empty one:"
            " set REWARDS_HOME to a new folder"
        )
    opened_on = now.astimezone(shop.ZONE).date() - timedelta(days=shop.DAYS - 1)
    opening = datetime.combine(opened_on, datetime.min.time(), shop.ZONE)
    document = _held_out_from(load_file(PROGRAM), opened_on)
    publish(
        connection, _first_program(document), effective_from=opening, now=opening, actor=ACTOR, note="Opening"
    )
    later = opening + timedelta(days=shop.DAYS // 2)
    publish(
        connection, document, effective_from=later, now=later, actor=ACTOR, note="5 points per pound, not 4"
    )
    return opened_on


def _held_out_from(document: ProgramDocument, opened_on: date) -> ProgramDocument:
    """Return the program with its holdout from the first day on, to be judged after 22 months."""
    assert document.holdout is not None
    judged_on = opened_on + timedelta(days=670)
    holdout = document.holdout.model_copy(
        update={"starts_at": opened_on.isoformat(), "planned_end": judged_on.isoformat()}
    )
    return document.model_copy(update={"holdout": holdout})


def _introduce(database: Database, opened_on: date, now: datetime) -> None:
    """Say who the customers are, and when they joined."""
    joined = {
        event.customer_id: event.at
        for event in shop.events(opened_on)
        if isinstance(event, SignedUp) and event.at <= now
    }
    known = {
        who: profile_of(who).model_dump() | {"joined_at": at.astimezone(UTC)} for who, at in joined.items()
    }
    with database.engine.begin() as connection:
        put_profiles(connection, known, now)
    engine = Engine(database)
    enroll(database, engine, known, ACTOR, now)
    tagged = [Tag(customer_id=who, tags=tags) for who in known if (tags := tags_of(who))]
    engine.execute([Submission(each, None, ACTOR) for each in tagged], now)


def _first_program(document: ProgramDocument) -> ProgramDocument:
    """Return the shop's program as it was in its first year: fewer points per pound."""
    return document.model_copy(update={"earn": tuple(map(_less_per_pound, document.earn))})


def _less_per_pound(rule: EarnRule) -> EarnRule:
    if not isinstance(rule.gives, PerAmount):
        return rule
    gives = rule.gives.model_copy(update={"points": rule.gives.points - 1})
    return rule.model_copy(update={"gives": gives, "name": f"{gives.points} points per pound"})


class _Storefront:
    """Sends what happened to the engine, as a shop's own programs would."""

    def __init__(self, database: Database, opened_on: date, now: datetime) -> None:
        self._database = database
        self._engine = Engine(database)
        self._now = now
        self._opened_on = opened_on
        #: Holds that were just placed: the key that each was placed under, and its id.
        self._holds: list[tuple[str, str]] = []

    def live_through(self, progress: Progress) -> None:
        """Send everything up to the present."""
        happened = [event for event in shop.events(self._opened_on) if event.at <= self._now]
        month = 0
        for day, events in shop.spells(happened, self._opened_on, SPELL_DAYS):
            progress("Loading", (day - self._opened_on).days, shop.DAYS)
            evening = datetime.combine(day, datetime.min.time(), shop.ZONE) + timedelta(hours=23)
            at = min(evening.astimezone(UTC), self._now)
            if day.month != month:
                month = day.month
                run_job("expire", self._database, at)
            available = self._available(events, at)
            commands = self._resolutions()
            for event in events:
                commands += _commands(event, available)
            for key, answer in zip([key for key, _ in commands], self._send(commands, at), strict=True):
                body = json.loads(answer.body)
                if body.get("status") == "held":
                    self._holds.append((key, body["redemption_id"]))
        progress("Loading", shop.DAYS, shop.DAYS)

    def show_a_hold(self) -> None:
        """Leave a hold open, so that there is one to see."""
        with self._database.engine.connect() as connection:
            richest = connection.execute(text(_RICHEST)).first()
        if richest is not None and richest.available >= 500:
            hold = Redeem(
                customer_id=richest.customer_id,
                points=500,
                order_total_minor=4_000,
                hold=True,
                hold_expires_in="P1D",
            )
            self._send([("open-hold", hold)], self._now)

    def _send(self, commands: Sequence[tuple[str, Command]], at: datetime) -> list[Answer]:
        submissions = [Submission(command, f"demo:{key}", actor=ACTOR) for key, command in commands]
        return self._engine.execute(submissions, at)

    def _available(self, events: Sequence[shop.Event], at: datetime) -> dict[str, int]:
        """Return what those who want to pay with points can spend."""
        wanting = {
            event.customer_id
            for event in events
            if isinstance(event, Ordered) and event.pays_with_points != "no"
        }
        found: dict[str, int] = {}
        with self._database.engine.connect() as connection:
            for who in sorted(wanting):
                if (balance := read_balance(connection, who, None, at)) is not None:
                    found[who] = balance[0].available
        return found

    def _resolutions(self) -> list[tuple[str, Command]]:
        """Return the captures and voids of the latest holds; forgotten ones lapse by themselves."""
        found: list[tuple[str, Command]] = []
        for key, redemption_id in self._holds:
            if key.startswith("hold:"):
                found.append((f"capture:{key}", Capture(redemption_id=redemption_id)))
            elif key.startswith("hold and void:"):
                found.append((f"void:{key}", Void(redemption_id=redemption_id)))
        self._holds.clear()
        return found


def _commands(  # noqa: PLR0911 - one return for each kind of event
    event: shop.Event, available: dict[str, int]
) -> list[tuple[str, Command]]:
    """Return the commands that an event sends, each with its key.

    ``available`` goes down by what is spent.
    """
    who, at = event.customer_id, event.at
    match event:
        case Ordered():
            return _order_commands(event, available)
        case SignedUp(referrer_id=referrer_id):
            joined = _award(who, at, {"type": "signup"})
            if referrer_id is None:
                return [(f"signup:{who}", joined)]
            brought = _award(referrer_id, at, {"type": "referral", "referred_customer_id": who})
            return [(f"signup:{who}", joined), (f"referral:{who}", brought)]
        case SentBack(order_id=order_id, refund_id=refund_id, line_ids=line_ids):
            refund: dict[str, Any] = {
                "customer_id": who,
                "order_id": order_id,
                "refund_id": refund_id,
                "occurred_at": at,
            }
            extent = {"items": [{"line_id": line_id} for line_id in line_ids]} if line_ids else {"full": True}
            return [(f"refund:{refund_id}", Reverse.model_validate(refund | extent))]
        case Answered(survey_id=survey_id, recommend=recommend, buy_again=buy_again, comment=comment):
            answers = {"recommend": recommend, "buy_again": buy_again}
            survey = {"type": "survey", "survey_id": survey_id, "answers": answers, "comment": comment}
            return [(f"survey:{survey_id}:{who}", _award(who, at, survey))]
        case Reviewed(sku=sku):
            return [(f"review:{sku}:{who}", _award(who, at, {"type": "review", "subject": sku}))]
        case WasCredited(points=points, reason=reason):
            credit = Adjust(customer_id=who, points=points, reason=reason)
            return [(f"goodwill:{who}:{at:%Y%m%d%H%M}", credit)]
    raise AssertionError(event)


def _order_commands(order: Ordered, available: dict[str, int]) -> list[tuple[str, Command]]:
    who = order.customer_id
    total = sum(line.amount_minor for line in order.lines) + order.shipping_minor
    # As the program has it: hundreds from 500 on, up to half of the order, where a point may pay 1.1 pence.
    points = min(available.get(who, 0), total * 10 // 22) // 100 * 100
    sent: list[tuple[str, Command]] = []
    paid_with_points = 0
    if order.pays_with_points != "no" and points >= 500:
        available[who] -= points
        is_hold = order.pays_with_points != "at once"
        redeem = Redeem(
            customer_id=who,
            points=points,
            order_id=order.order_id,
            order_total_minor=total,
            hold=is_hold,
            hold_expires_in="P3D" if is_hold else None,
        )
        sent.append((f"{order.pays_with_points}:{order.order_id}", redeem))
        paid_with_points = points if order.pays_with_points in ("at once", "hold") else 0
    purchase = {
        "type": "purchase",
        "order_id": order.order_id,
        "total_minor": total - paid_with_points,
        "currency": "GBP",
        "discount_minor": paid_with_points,
        "shipping_minor": order.shipping_minor,
        "items": [asdict(line) for line in order.lines],
        "channel": "web",
    }
    return [*sent, (f"order:{order.order_id}", _award(who, order.at, purchase))]


def _award(customer_id: str, at: datetime, activity: dict[str, Any]) -> Award:
    return Award.model_validate({"customer_id": customer_id, "occurred_at": at, "activity": activity})


_RICHEST = "SELECT customer_id, available FROM accounts ORDER BY available + held DESC, customer_id LIMIT 3"
_EXPIRING = (
    "SELECT customer_id FROM lots WHERE remaining > 0 AND available_at <= :now"
    " AND expires_at > :now AND expires_at <= :soon"
    " GROUP BY customer_id ORDER BY sum(remaining) DESC, customer_id LIMIT 3"
)
_OWING = "SELECT customer_id FROM accounts WHERE deficit > 0 ORDER BY deficit DESC, customer_id LIMIT 3"


def _worth_a_look(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return customers whose pages have something to show, each once, with what that is."""
    during = {"now": now, "soon": now + timedelta(days=45)}
    found: dict[str, str] = {}
    for query, what in (
        (_RICHEST, "has the most points to spend, and a hold for a day"),
        (_EXPIRING, "has points that expire soon"),
        (_OWING, "owes points: sent back what had earned them, after spending them"),
    ):
        candidates = connection.scalars(text(query), during).all()
        if new := next((who for who in candidates if who not in found), None):
            found[new] = what
    return list(found.items())
