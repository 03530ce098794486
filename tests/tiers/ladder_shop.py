"""The worked ladders played on the real engine and a real database: commands, the job, and what is read of a customer."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import text
from worked_ladders import EPOCH, MOMENT, Calendar, Expected, Read, Story, shown

from rewards.core.database import Database
from rewards.decide import Submission
from rewards.decide.commands import Award, Command, EndGrant, Enroll, GrantStanding, Redeem, Reverse
from rewards.engine import Engine
from rewards.jobs import run_job
from rewards.ledger.standings import read_moves, read_outlook, read_standings
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory
from rewards.program.versions import load_history, publish

WHO = "ann"
_DUE = text("SELECT standing_due_at FROM accounts WHERE customer_id = :who")


class PlayedOnEngine:
    """A shop with one customer, under the page's program."""

    def __init__(self, database: Database, program: ProgramDocument, changed: ProgramDocument | None) -> None:
        self._database = database
        self._engine = Engine(database)
        self._calendar = Calendar(program)
        self._changed = changed
        self._keys = 0
        #: When ladders take effect that the job has not brought everybody up to.
        self._published: list[datetime] = []
        #: How far time has come, and when the job ran last.
        self._now, self._ran_at = EPOCH, EPOCH - MOMENT
        self._publish_at(program, EPOCH, EPOCH)

    def play(self, story: Story) -> list[str]:
        """Play a story; return what differs from what the page says."""
        rows = [(self._calendar.read(row), row) for row in story.happenings]
        wrong = []
        for at, expected in self._checks(story.expected):
            while rows and rows[0][0].now <= at:
                read, row = rows.pop(0)
                self._run_what_is_due(read.now)
                given = getattr(self, f"_{read.kind}")(read)
                if row.points is not None and given["points"] != int(row.points):
                    wrong.append(
                        f"{row.when}: the page says {row.points} points, there were {given['points']}"
                    )
            self._run_what_is_due(at)
            if (found := self._shown(at)) != expected.shown():
                wrong.append(f"{self._calendar.clock(at)}: the page says {expected.shown()}, it is {found}")
        moves = [
            (move["from_tier"] or "", move["to_tier"] or "", self._calendar.clock(move["at"]), move["reason"])
            for move in reversed(self._moves())
        ]
        if story.moves is not None and moves != story.moves:
            wrong.append(f"the page says {story.moves}, the moves are {moves}")
        return wrong

    def _checks(self, rows: list[Expected]) -> list[tuple[datetime, Expected]]:
        """Return when to look: at each row, at the end of the day before it, and once a month."""
        all_ = list(self._calendar.checks(rows))
        kept = []
        for place, (at, expected) in enumerate(all_):
            is_last = place + 1 == len(all_) or all_[place + 1][1] is not expected
            is_first = not place or all_[place - 1][1] is not expected
            if is_first or is_last or self._calendar.day(at).day == 1:
                kept.append((at, expected))
        return kept

    def _run_what_is_due(self, to: datetime) -> None:
        """Let the job run whenever something is due, up to an instant."""
        while True:
            with self._database.engine.connect() as conn:
                due_at = conn.execute(_DUE, {"who": WHO}).scalar()
            due = [*self._published, *([] if due_at is None else [due_at])]
            if min(due, default=to) > to or not due:
                self._now = to
                return
            at = max(min(due), self._now)
            assert at > self._ran_at, f"what was due at {min(due)} is due still"
            self._now = self._ran_at = at
            self._published = [each for each in self._published if each > at]
            run_job("tiers", self._database, at)

    def _send(self, command: Command, now: datetime) -> dict[str, Any]:
        self._keys += 1
        # Who is in which tier by hand, and since when a member, is said, not added to: such commands have no key.
        key = None if isinstance(command, Enroll | GrantStanding | EndGrant) else f"key-{self._keys}"
        (answer,) = self._engine.execute([Submission(command, key, "storefront")], now)
        body: dict[str, Any] = json.loads(answer.body)
        assert answer.status < 300, body
        return body

    def _award(self, read: Read, **activity: Any) -> dict[str, Any]:
        given = {"customer_id": WHO, "occurred_at": read.occurred_at, "activity": activity}
        return self._send(Award.model_validate(given), read.now)

    def _buy(self, read: Read) -> dict[str, Any]:
        amount = self._calendar.minor(read.said["amount"])
        order = {"order_id": read.said["order"], "total_minor": amount, "currency": self._calendar.currency}
        return self._award(read, type="purchase", **order)

    def _refund(self, read: Read) -> dict[str, Any]:
        given: dict[str, Any] = {
            "customer_id": WHO,
            "order_id": read.said["order"],
            "occurred_at": read.occurred_at,
        }
        given["refund_id"] = f"refund-{self._keys}"
        amount = read.said["amount"]
        given |= {"full": True} if amount is None else {"amount_minor": self._calendar.minor(amount)}
        return self._send(Reverse.model_validate(given), read.now)

    def _referral(self, read: Read) -> dict[str, Any]:
        return self._award(read, type="referral", referred_customer_id=read.said["friend"])

    def _redeem(self, read: Read) -> dict[str, Any]:
        return self._send(Redeem(customer_id=WHO, points=int(str(read.said["points"]))), read.now)

    def _member(self, read: Read) -> dict[str, Any]:
        since = self._calendar.begins(str(read.said["day"]))
        return self._send(Enroll(customer_id=WHO, member_since=since), read.now)

    def _grant(self, read: Read) -> dict[str, Any]:
        until = None if read.said["day"] is None else self._calendar.ends(read.said["day"])
        tier = str(read.said["tier"])
        return self._send(GrantStanding(customer_id=WHO, tier=tier, until=until, reason="the page"), read.now)

    def _revoke(self, read: Read) -> dict[str, Any]:
        return self._send(EndGrant(customer_id=WHO, reason="the page"), read.now)

    def _publish(self, read: Read) -> dict[str, Any]:
        assert self._changed is not None
        at = read.now if read.said["day"] is None else self._calendar.begins(read.said["day"])
        self._publish_at(self._changed, at, read.now)
        self._run_what_is_due(read.now)
        return {}

    def _publish_at(self, program: ProgramDocument, at: datetime, now: datetime) -> None:
        with self._database.engine.begin() as conn:
            publish(conn, program, effective_from=at, now=now, actor="the page")
        self._published.append(at)

    # -- what is read

    def _programs(self) -> ProgramHistory:
        with self._database.engine.connect() as conn:
            return load_history(conn)

    def _moves(self) -> list[dict[str, Any]]:
        with self._database.engine.connect() as conn:
            return read_moves(conn, WHO, 1000)

    def _shown(self, at: datetime) -> tuple[str, ...]:
        with self._database.engine.connect() as conn:
            found = read_outlook(conn, self._programs(), WHO, at)
            kept = dict(read_standings(conn, [WHO])).get(WHO)
        moves = self._moves()
        if found is None:
            assert not moves
            return "", "", "", "waiting"
        assert kept is not None
        standing = found.standing
        for name in ("tier", "since", "until", "grace_until", "is_granted"):
            assert getattr(standing, name) == getattr(kept, name), (
                f"{name} on record is another, and nothing is due"
            )
        return shown(self._calendar, standing, moves[0]["reason"] if moves else None)
