"""The worked ladders of docs/guides/ladders.md: how the page is read, and how its tables are played without a database.

What may stand in a row is in ``EVENTS``; whatever is worded otherwise fails.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from rewards.core.money import parse_major
from rewards.ledger.standing_state import Move, Qualifying, Standing, StandingGrant
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.loading import load_text
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import Timeline
from tiers.standing import advanced, can_advance, moves_since

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "ladders.md"
EVENT_HEADS = (("when", "what"), ("when", "what", "points"))
STANDING_HEAD = ("day", "tier", "since", "last day", "why")
MOVE_HEAD = ("from", "to", "at", "why")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)

_BLOCK = re.compile(
    r"^(?P<heading>#+ .*)$|^```(?P<kind>[a-z ]+)\n(?P<code>(?:.*\n)*?)```$|(?P<table>(?:^\|.*\n?)+)",
    re.MULTILINE,
)
_REQUIRED = {
    "schema_version": 1,
    "name": "Tea Club",
    "currency": "GBP",
    "timezone": "Europe/London",
    "earn": [
        {
            "id": "base",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
        }
    ],
}


# How the page is read.


@dataclass(frozen=True)
class Happening:
    """One row of events as it stands on the page."""

    when: str
    what: str
    points: str | None


@dataclass(frozen=True)
class Expected:
    """One row of standings as it stands on the page."""

    day: str
    tier: str
    since: str
    last_day: str
    why: str

    def shown(self) -> tuple[str, ...]:
        """Return what is compared: of the reason, what stands before the words for people."""
        return self.tier, self.since, self.last_day, self.why.partition(":")[0]


@dataclass
class Story:
    """What happens under a ladder, and what comes of it."""

    happenings: list[Happening]
    expected: list[Expected] = field(default_factory=list)
    moves: list[tuple[str, ...]] | None = None


@dataclass
class WorkedLadder:
    """A program, what it is changed to meanwhile, and the stories that are told of it."""

    title: str
    line: int
    program: str
    changed: str | None = None
    stories: list[Story] = field(default_factory=list)

    def documents(self) -> tuple[ProgramDocument, ProgramDocument | None]:
        """Read the program, and what it is changed to, with the fields that the page leaves out."""
        changed = None if self.changed is None else load_text(completed(self.changed))
        return load_text(completed(self.program)), changed


def read_page(page: str) -> tuple[list[WorkedLadder], list[list[list[str]]], list[str]]:
    """Return the page's worked ladders, the tables that stand before them, and the ladders that nobody plays."""
    ladders: list[WorkedLadder] = []
    tables: list[list[list[str]]] = []
    shown: list[str] = []
    title = ""
    for block in _BLOCK.finditer(page):
        if block["heading"]:
            title = block["heading"].lstrip("# ")
        elif block["table"]:
            cells = [
                [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])]
                for row in block["table"].splitlines()
            ]
            if cells[0][0] == "by day":
                continue  # pictures
            if ladders:
                _read_table(ladders[-1], cells)
            else:
                tables.append(cells)
        elif block["kind"] == "yaml":
            ladders.append(WorkedLadder(title, page.count("\n", 0, block.start()) + 2, block["code"]))
        elif block["kind"] == "yaml first":
            shown.append(block["code"])
        else:
            assert block["kind"] == "yaml changed", f"nobody runs blocks of {block['kind']!r}"
            assert ladders[-1].changed is None, "a program changes once"
            ladders[-1].changed = block["code"]
    return ladders, tables, shown


def _read_table(worked: WorkedLadder, cells: list[list[str]]) -> None:
    head, rows = tuple(cells[0]), cells[2:]
    if head in EVENT_HEADS:
        worked.stories.append(
            Story([Happening(row[0], row[1], row[2] if len(head) == 3 else None) for row in rows])
        )
    elif head == STANDING_HEAD:
        assert not worked.stories[-1].expected, "a story has one table of standings"
        worked.stories[-1].expected = [Expected(*row) for row in rows]
    else:
        assert head == MOVE_HEAD, f"nobody reads tables of {head}"
        worked.stories[-1].moves = [tuple(row) for row in rows]


def completed(shown: str) -> str:
    """Return the page's YAML with the required fields that it leaves out."""
    given = yaml.safe_load(shown)
    missing = {name: value for name, value in _REQUIRED.items() if name not in given}
    return yaml.safe_dump(missing) + shown


# What a row may say.

_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d(?: UTC)?"
_WHEN = re.compile(rf"(?P<occurred>{_MOMENT})(?:, sent (?P<sent>{_MOMENT}))?")
_DAY = r"\d{4}-\d\d-\d\d"
EVENTS = {
    "buy": re.compile(r"buy (?P<order>\S+) of (?P<amount>[\d.]+)"),
    "refund": re.compile(r"refund (?P<order>\S+) (?:in full|of (?P<amount>[\d.]+))"),
    "referral": re.compile(r"referral of (?P<friend>\S+)"),
    "redeem": re.compile(r"redeem (?P<points>\d+)"),
    "member": re.compile(rf"member since (?P<day>{_DAY})"),
    "grant": re.compile(rf"grant (?P<tier>\S+)(?: through (?P<day>{_DAY}))?"),
    "revoke": re.compile(r"take the grant back"),
    "publish": re.compile(rf"publish the change(?: for (?P<day>{_DAY}))?"),
}


@dataclass(frozen=True)
class Read:
    """What a row of events says."""

    kind: str
    said: dict[str, str | None]
    occurred_at: datetime
    #: When the engine comes to know of it.
    now: datetime


class Calendar:
    """The page's words for times, in a program's time zone."""

    def __init__(self, document: ProgramDocument) -> None:
        self._zone = document.zone
        self.currency = document.currency

    def instant(self, text: str) -> datetime:
        if text.endswith(" UTC"):
            return datetime.fromisoformat(text.removesuffix(" UTC") + "+00:00")
        return datetime.fromisoformat(text).replace(tzinfo=self._zone).astimezone(UTC)

    def begins(self, day: str | date) -> datetime:
        """Return the first instant of a day."""
        wall = date.fromisoformat(day) if isinstance(day, str) else day
        return datetime.combine(wall, time(), self._zone).astimezone(UTC)

    def ends(self, day: str | date) -> datetime:
        """Return the first instant after a day."""
        wall = date.fromisoformat(day) if isinstance(day, str) else day
        return self.begins(wall + timedelta(days=1))

    def day(self, instant: datetime) -> date:
        return instant.astimezone(self._zone).date()

    def clock(self, instant: datetime) -> str:
        return f"{instant.astimezone(self._zone):%Y-%m-%d %H:%M}"

    def last_day(self, until: datetime | None) -> str:
        """Write the last day of what ends at an instant, which is a midnight."""
        if until is None:
            return ""
        last = self.day(until - MOMENT)
        assert self.ends(last) == until, f"{until} is no midnight"
        return last.isoformat()

    def read(self, row: Happening) -> Read:
        when = _WHEN.fullmatch(row.when)
        assert when, f"no time: {row.when!r}"
        occurred_at = self.instant(when["occurred"])
        now = self.instant(when["sent"]) if when["sent"] else occurred_at
        for kind, words in EVENTS.items():
            if said := words.fullmatch(row.what):
                return Read(kind, said.groupdict(), occurred_at, now)
        raise AssertionError(f"nobody understands {row.what!r}")

    def minor(self, amount: str | None) -> int:
        assert amount is not None
        return parse_major(amount, self.currency)

    def checks(self, rows: list[Expected]) -> Iterator[tuple[datetime, Expected]]:
        """Yield the instants at which a table says something: each row's, and every day's end until the last row."""
        told = [(self._moment(row.day), row) for row in rows]
        assert all(one < other for (one, _), (other, _) in pairwise(told)), "rows go back"
        instants = dict(told)
        day = self.day(told[0][0])
        while self.ends(day) < told[-1][0]:
            at = self.ends(day) - MOMENT
            if at > told[0][0]:
                instants.setdefault(at, [row for moment, row in told if moment <= at][-1])
            day += timedelta(days=1)
        yield from sorted(instants.items(), key=lambda each: each[0])

    def _moment(self, day: str) -> datetime:
        return self.instant(day) if " " in day else self.ends(day) - MOMENT


# How a table is played on the pure functions.


class PlayedPurely:
    """A customer's ledger of standings, kept as the engine keeps it: at what happens, and when something is due."""

    def __init__(self, program: ProgramDocument, changed: ProgramDocument | None) -> None:
        self._calendar = Calendar(program)
        self._changed = changed
        self._versions = [ProgramVersion(1, program, EPOCH, EPOCH, "the page")]
        self._events: list[Qualifying] = []
        self._orders: dict[str, tuple[datetime, int, int]] = {}
        self._grants: list[StandingGrant] = []
        self._member_since: datetime | None = None
        self._standing: Standing | None = None
        self._moves: list[Move] = []
        self._settled_at = EPOCH

    def play(self, story: Story) -> list[str]:
        """Play a story; return what differs from what the page says."""
        reads = [self._calendar.read(row) for row in story.happenings]
        assert all(one.now <= other.now for one, other in pairwise(reads)), "goes back in time"
        wrong = []
        for at, expected in self._calendar.checks(story.expected):
            while reads and reads[0].now <= at:
                self._happen(reads.pop(0))
            self._pass_time(at)
            if (shown := self._shown(at)) != expected.shown():
                wrong.append(f"{self._calendar.clock(at)}: the page says {expected.shown()}, it is {shown}")
        assert not reads, "the standings end before the events"
        if story.moves is not None:
            moves = [
                (move.from_tier or "", move.to_tier or "", self._calendar.clock(move.at), move.reason)
                for move in self._moves
            ]
            if moves != story.moves:
                wrong.append(f"the page says {story.moves}, the moves are {moves}")
        return wrong

    def _timeline(self) -> Timeline:
        return Timeline(ProgramHistory(self._versions))

    def _fold(self, at: datetime) -> Fold:
        return Fold(self._timeline(), History(self._events, self._grants, self._member_since)).run(at)

    def _happen(self, read: Read) -> None:
        self._pass_time(read.now)
        before = len(self._events)
        getattr(self, f"_{read.kind}")(read)
        hot = None
        timeline = self._timeline()
        if len(self._events) > before and read.occurred_at == read.now and self._standing is not None:
            event = self._events[-1]
            if not event.is_return and can_advance(timeline, self._standing, read.now):
                hot = advanced(timeline, self._standing, event)
        self._settle(read.now)
        if hot is not None and self._standing is not None:
            for name in ("tier", "since", "until", "earned", "earned_until", "gauges"):
                assert getattr(hot.standing, name) == getattr(self._standing, name), name

    def _buy(self, read: Read) -> None:
        order, amount = str(read.said["order"]), self._calendar.minor(read.said["amount"])
        self._orders[order] = read.occurred_at, amount, amount
        self._event(read, read.occurred_at, amount // 100, amount, 1)

    def _refund(self, read: Read) -> None:
        order = str(read.said["order"])
        bought_at, amount, left = self._orders[order]
        back = self._calendar.minor(read.said["amount"]) if read.said["amount"] else left
        self._orders[order] = bought_at, amount, left - back
        points = amount // 100 * back // amount
        self._event(read, bought_at, -points, -back, -1 if back == left else 0, is_return=True)

    def _referral(self, read: Read) -> None:
        self._event(read, read.occurred_at, 0, 0, 0, referrals=1)

    def _event(
        self,
        read: Read,
        counted_on: datetime,
        points: int,
        spend_minor: int,
        orders: int,
        referrals: int = 0,
        is_return: bool = False,
    ) -> None:
        seq = len(self._events) + 1
        self._events.append(
            Qualifying(read.occurred_at, seq, counted_on, points, spend_minor, orders, referrals, is_return)
        )

    def _redeem(self, read: Read) -> None:
        """Nothing of it counts."""

    def _member(self, read: Read) -> None:
        self._member_since = self._calendar.begins(str(read.said["day"]))

    def _grant(self, read: Read) -> None:
        until = None if read.said["day"] is None else self._calendar.ends(read.said["day"])
        self._grants.append(StandingGrant(len(self._grants) + 1, str(read.said["tier"]), read.now, until))

    def _revoke(self, read: Read) -> None:
        self._grants[-1] = self._grants[-1]._replace(ended_at=read.now)

    def _publish(self, read: Read) -> None:
        assert self._changed is not None, "the page shows no change"
        at = read.now if read.said["day"] is None else self._calendar.begins(read.said["day"])
        number = len(self._versions) + 1
        self._versions.append(ProgramVersion(number, self._changed, at, read.now, "the page"))

    def _pass_time(self, to: datetime) -> None:
        """Settle when something is due or another ladder takes effect, as the job does."""
        while True:
            due = [
                each.since
                for each in self._timeline().stretches
                if each.since is not None and each.since > self._settled_at
            ]
            if self._standing is not None and self._standing.due_at is not None:
                assert self._standing.due_at > self._settled_at, "what was due is due again"
                due.append(self._standing.due_at)
            if min(due, default=to) >= to:
                if min(due, default=None) == to:
                    self._settle(to)
                return
            self._settle(min(due))

    def _settle(self, at: datetime) -> None:
        self._settled_at = at
        if not (self._events or self._grants or self._member_since):
            return
        fold = self._fold(at)
        self._moves += moves_since(self._standing, fold)
        self._standing = fold.standing()

    def _shown(self, at: datetime) -> tuple[str, ...]:
        standing = self._fold(at).standing()
        kept = self._standing
        # Between two times at which something was due nothing changes.
        assert kept is not None
        for name in ("tier", "since", "until", "grace_until", "is_granted"):
            assert getattr(standing, name) == getattr(kept, name), f"{name} changed, and it was not due"
        return shown(self._calendar, standing, self._moves[-1].reason if self._moves else None)


def shown(calendar: Calendar, standing: Any, reason: str | None) -> tuple[str, ...]:
    """Write a standing the way the page does."""
    return (
        standing.tier or "",
        "" if standing.since is None else calendar.day(standing.since).isoformat(),
        calendar.last_day(standing.until),
        (reason or "waiting") + (", in grace" if standing.grace_until is not None else ""),
    )
