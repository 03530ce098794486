"""What the customer's page shows, worked out from the statement and the history: no HTML, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from api.pages.program_text import Rule, how_it_works
from api.pages.standing_view import StandingShown, standing_shown
from rewards.core import wording
from rewards.ledger.balances import Balance
from rewards.ledger.history import HistoryLine
from rewards.program.document import ProgramDocument
from rewards.program.redemption import redeemable, value_minor, valued
from tiers.progress import Outlook

#: Rows of what happens next; what expires later than these is summed up in one more.
MOST_EVENTS = 8
#: Events this near also say in how many days they come.
SOON_DAYS = 45


@dataclass(frozen=True, slots=True)
class Event:
    """Something that time will do to the points.

    Attributes:
        kind: ``arrive``, ``return``, ``expire``, ``later`` or ``keep``.
        points: how many; positive.
        at: the instant, None where there is none.
        day: the day as written, the last on which points can be spent where they expire.
        nearness: such as ``in 9 days``; empty where it is far off.
    """

    kind: str
    points: int
    at: datetime | None
    day: str
    nearness: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as a row of the history."""

    line: HistoryLine
    day: str
    #: What is still to come of what was credited, such as ``63 left, spend by 30 Nov 2026``.
    outlook: str


@dataclass(frozen=True, slots=True)
class Paging:
    """Addresses of the neighbouring pages of the history, None where there is none."""

    newer: str | None
    older: str | None


@dataclass(frozen=True, slots=True)
class CustomerView:
    """All that the page shows; see ``templates/customer.html``."""

    program_name: str
    customer_id: str
    balance: Balance
    #: None where the program has no ladder.
    standing: StandingShown | None
    figure_size: str
    worth: str
    hint: str
    first_expiry: Event | None
    events: list[Event]
    months: list[tuple[str, list[Line]]]
    entries: int
    paging: Paging
    rules: list[Rule]
    as_of: datetime
    as_of_text: str
    zone: str
    #: Whether the customer is held out of the program, so that the page says nothing of what it gives.
    is_held_out: bool = False

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to show: no points of any kind, and nothing that happened to any."""
        balance = self.balance
        return not (balance.available or balance.pending or balance.held or balance.deficit or self.entries)


def customer_view(
    customer_id: str,
    balance: Balance,
    document: ProgramDocument,
    lines: Sequence[HistoryLine],
    *,
    entries: int,
    page_size: int,
    standing: Outlook | None = None,
    is_held_out: bool = False,
) -> CustomerView:
    """Return what the page shows of a customer.

    Args:
        customer_id: whose page it is.
        balance: the balance now.
        document: the program in force now.
        lines: a page of the history, newest first.
        entries: how many entries there are in all.
        page_size: how many entries a page has.
        standing: where the customer stands on the ladder; None where there is none.
        is_held_out: whether the customer is held out of the program; then nothing is said of what it gives.
    """
    zone, now = document.zone, balance.at
    policy = valued(document.redemption, None if standing is None else standing.tier)
    events = _events(balance, zone)
    return CustomerView(
        program_name=document.name,
        customer_id=customer_id,
        balance=balance,
        standing=None if standing is None else standing_shown(standing, document.currency),
        figure_size=_figure_size(balance.available),
        worth=wording.money(value_minor(policy, balance.available), document.currency),
        hint=_hint(balance, document),
        first_expiry=next((event for event in events if event.kind == "expire"), None),
        events=events,
        months=_by_month(lines, now),
        entries=entries,
        paging=_paging(lines, entries, page_size),
        rules=[] if is_held_out else how_it_works(document),
        as_of=now,
        as_of_text=wording.minute(now, zone),
        zone=document.timezone,
        is_held_out=is_held_out,
    )


def last_day(expires_at: datetime, zone: ZoneInfo) -> date:
    """Return the last day on which points can be spent: expiry at midnight is the end of the day before."""
    return (expires_at - timedelta(microseconds=1)).astimezone(zone).date()


def _figure_size(points: int) -> str:
    digits = len(wording.number(points))
    return "large" if digits <= 5 else "medium" if digits <= 9 else "small"


def _hint(balance: Balance, document: ProgramDocument) -> str:
    minimum = document.redemption.minimum_points
    if balance.available and not redeemable(document.redemption, balance.available):
        return f"You can start spending at {wording.points(minimum)}." if balance.available < minimum else ""
    return ""


def _events(balance: Balance, zone: ZoneInfo) -> list[Event]:
    """Return what happens next in order of time, one event a day of each kind."""
    dated = [(at.astimezone(zone).date(), "arrive", at, points) for at, points in balance.arrivals()]
    lapses = ((hold.expires_at, hold.points) for hold in balance.holds)
    dated += [(at.astimezone(zone).date(), "return", at, points) for at, points in lapses]
    kept = 0
    for expires_at, points, _ in balance.expirations():
        if expires_at is None:
            kept += points
        else:
            dated.append((last_day(expires_at, zone), "expire", expires_at, points))
    today = balance.at.astimezone(zone).date()
    events = []
    for (day, kind), group in groupby(sorted(dated), key=lambda each: each[:2]):
        same_day = list(group)
        points = sum(each[3] for each in same_day)
        events.append(Event(kind, points, same_day[0][2], wording.day(day), _nearness(day, today)))
    events = _shortened(events)
    if kept:
        events.append(Event("keep", kept, None, ""))
    return events


def _shortened(events: list[Event]) -> list[Event]:
    if len(events) <= MOST_EVENTS + 1:
        return events
    shown, rest = events[:MOST_EVENTS], events[MOST_EVENTS:]
    expiring = [event for event in rest if event.kind == "expire"]
    others = [event for event in rest if event.kind != "expire"]
    if not expiring:
        return shown + others
    last = expiring[-1]
    later = Event("later", sum(event.points for event in expiring), last.at, last.day, "at the latest")
    return [*shown, *others, later]


def _nearness(day: date, today: date) -> str:
    days = (day - today).days
    if days <= 1:
        return "tomorrow" if days == 1 else "today"
    return f"in {days} days" if days <= SOON_DAYS else ""


def _by_month(lines: Sequence[HistoryLine], now: datetime) -> list[tuple[str, list[Line]]]:
    def month(line: HistoryLine) -> str:
        return wording.month(line.occurred_at.date())

    return [(name, [_row(line, now) for line in group]) for name, group in groupby(lines, key=month)]


def _row(line: HistoryLine, now: datetime) -> Line:
    outlook = []
    if 0 < line.remaining < line.points:
        outlook.append(f"{wording.number(line.remaining)} left")
    if line.remaining and line.available_at is not None and line.available_at > now:
        outlook.append(f"ready on {wording.day(line.available_at.astimezone(line.zone).date())}")
    if line.remaining and line.expires_at is not None:
        outlook.append(f"spend by {wording.day(last_day(line.expires_at, line.zone))}")
    if line.expires_at is not None and line.expires_at <= now:
        outlook.clear()
    return Line(line, wording.day_and_month(line.occurred_at.date()), ", ".join(outlook))


def _paging(lines: Sequence[HistoryLine], entries: int, page_size: int) -> Paging:
    """Say where newer and older entries are. Numbers have no gaps, so the pages are known without asking."""
    if not lines:
        return Paging("?" if entries else None, None)
    newest, oldest = lines[0].seq, lines[-1].seq
    newer: str | None = None
    if newest < entries:
        before = newest + page_size + 1
        newer = f"?before={before}" if before <= entries else "?"
    return Paging(newer, f"?before={oldest}" if oldest > 1 else None)
