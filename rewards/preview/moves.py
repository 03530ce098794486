"""Who would move tier by a draft, and what that costs, on the full membership: reads one snapshot, writes nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, text

from rewards.core.progress import Progress, unheard
from rewards.ledger.standing_state import Qualifying, StandingGrant, read_standing
from rewards.ledger.standings import QUALIFYING
from rewards.ledger.statements import rfc3339
from rewards.preview.facts import count_customers, take_snapshot
from rewards.preview.report import Change
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.redemption import value_minor, valued
from rewards.program.versions import load_history
from tiers.history import History
from tiers.ladder import timeline_of
from tiers.preview import Moved, MovePreview, MoveTally, Step, count_direction, merged_order

_CUSTOMERS_AT_ONCE = 2_000
ACTOR = "preview"


@dataclass(frozen=True, slots=True)
class MovesReport:
    """Who would move, as plain data.

    Attributes:
        version: that the draft would be published as.
        as_of: the present that it was worked out for.
        effective_from: when the draft would come into force.
        customers: all there are.
        tiers: the tiers of both ladders, lowest first, as ``(id, name)``.
        matrix: customers by where they come from and go to; who stays is there, too.
        up, down: how many go up, and down.
        moved: who moves, in the order of their ids.
        digest: tells previews apart; how many move, and SHA-256 over who from where to where.
        outstanding_points: that customers have, held ones included.
        value_minor: what those are worth when redeemed, each tier's rounded down once.
        year_points: what tiers' multipliers would give on top of the purchases of a year.
        currency, currency_before: of the money after, and before.
        seconds: that it took.
    """

    version: int
    as_of: datetime
    effective_from: datetime
    customers: int
    tiers: list[tuple[str, str]]
    matrix: dict[Step, int]
    up: int
    down: int
    moved: list[Moved]
    digest: str
    outstanding_points: int
    value_minor: Change
    year_points: Change
    currency: str
    currency_before: str
    seconds: float

    def listed(self, most: int) -> list[dict[str, Any]]:
        """Return the first who move, in the API's shape."""
        return [
            {
                "customer_id": each.customer_id,
                "from": each.from_tier,
                "to": each.to_tier,
                "until": each.until and rfc3339(each.until),
            }
            for each in self.moved[:most]
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the figures in the API's shape; the list of who moves is apart."""
        names = dict(self.tiers)
        place: dict[str | None, int] = {
            None: -1,
            **{tier: number for number, (tier, _) in enumerate(self.tiers)},
        }
        steps = sorted(self.matrix.items(), key=lambda each: (place[each[0][0]], place[each[0][1]]))
        return {
            "as_of": rfc3339(self.as_of),
            "effective_from": rfc3339(self.effective_from),
            "customers": self.customers,
            "moved": len(self.moved),
            "unchanged": self.customers - len(self.moved),
            "up": self.up,
            "down": self.down,
            "digest": self.digest,
            "tiers": [{"id": tier, "name": names[tier]} for tier in names],
            "matrix": [{"from": step[0], "to": step[1], "customers": count} for step, count in steps],
            "outstanding_points": self.outstanding_points,
            "currency": self.currency,
            "currency_before": self.currency_before,
            "value_minor": self.value_minor.as_json(),
            "points_per_year": self.year_points.as_json(),
            "seconds": round(self.seconds, 2),
        }


def preview_moves(
    conn: Connection,
    draft: ProgramDocument,
    *,
    now: datetime,
    effective_from: datetime | None = None,
    is_stopped: Callable[[], bool] | None = None,
    pause: Callable[[], None] | None = None,
    progress: Progress = unheard,
) -> MovesReport | None:
    """Return who would move if ``draft`` were published now.

    Args:
        conn: a connection with no transaction open; it is given a read-only snapshot.
        draft: the program.
        now: the present.
        effective_from: from when on it would be in force; ``now`` if not given.
        is_stopped: asked now and then; once it says yes, :class:`Stopped` is raised.
        pause: called after each customer, for a process that has other work too.
        progress: told the customers done and the customers there are.

    Returns:
        None where there is no ladder, neither published nor in the draft.

    Raises:
        Stopped: it was no longer wanted.
    """
    started_at = time.monotonic()
    take_snapshot(conn)
    published = load_history(conn)
    version = as_next_version(published, draft, effective_from or now, now)
    total = count_customers(conn)
    preview = MovePreview(published, version, now)
    if not preview.has_ladder:
        return None
    for done in _take_all(conn, preview, pause):
        progress("Moving", done, total)
        if is_stopped is not None and is_stopped():
            raise Stopped
    return _report(published, version, preview.tally, now, time.monotonic() - started_at)


class Stopped(Exception):
    """A preview ended before it was done, because nobody wants it any more."""


def as_next_version(
    published: ProgramHistory, draft: ProgramDocument, effective_from: datetime, now: datetime
) -> ProgramVersion:
    """Return a draft as the version that it would be published as."""
    number = max((each.version for each in published.versions), default=0) + 1
    return ProgramVersion(number, draft, effective_from, now, ACTOR)


_CUSTOMERS = text("""
SELECT customer_id, CAST(standing AS text), member_since, balance + held FROM accounts
WHERE customer_id > :after ORDER BY customer_id LIMIT :most""")
_EVENTS = text(QUALIFYING.format(of_whom="a.customer_id > :after AND a.customer_id <= :last"))
_GRANTS = text("""
SELECT customer_id, grant_seq, tier, granted_at, until, ended_at FROM standing_grants
WHERE customer_id > :after AND customer_id <= :last ORDER BY customer_id, grant_seq""")


def _take_all(conn: Connection, preview: MovePreview, pause: Callable[[], None] | None) -> Iterator[int]:
    """Take all customers; yield how many are done."""
    after, done = "", 0
    while True:
        rows = conn.execute(_CUSTOMERS, {"after": after, "most": _CUSTOMERS_AT_ONCE}).all()
        if not rows:
            return
        span = {"after": after, "last": rows[-1][0]}
        after = rows[-1][0]
        events, grants = _histories(conn, span)
        for customer_id, standing, member_since, points in rows:
            history = History(events.get(customer_id, ()), grants.get(customer_id, ()), member_since)
            stored = None if standing is None else read_standing(standing)
            preview.take(customer_id, history, stored, points)
            if pause is not None:
                pause()
        done += len(rows)
        yield done


def _histories(
    conn: Connection, span: dict[str, str]
) -> tuple[dict[str, list[Qualifying]], dict[str, list[StandingGrant]]]:
    events: dict[str, list[Qualifying]] = {}
    for customer_id, *event in conn.execute(_EVENTS, span):
        events.setdefault(customer_id, []).append(Qualifying._make(event))
    for each in events.values():
        each.sort(key=_in_order)
    grants: dict[str, list[StandingGrant]] = {}
    for customer_id, *grant in conn.execute(_GRANTS, span):
        grants.setdefault(customer_id, []).append(StandingGrant._make(grant))
    return events, grants


def _in_order(event: Qualifying) -> tuple[datetime, int]:
    return event.at, event.seq


def digest_of(moved: Sequence[Moved]) -> str:
    """Return what tells previews apart: how many move, and a hash of who from where to where, in the order of ids."""
    digest = sha256()
    for each in moved:
        # Neither ids nor tiers have line ends or tabs in them.
        digest.update(f"{each.customer_id}\t{each.from_tier or ''}\t{each.to_tier or ''}\n".encode())
    return f"{len(moved)}-{digest.hexdigest()}"


def _report(
    published: ProgramHistory, version: ProgramVersion, tally: MoveTally, now: datetime, seconds: float
) -> MovesReport:
    in_force, draft = published.in_force(now).document, version.document
    before = timeline_of(published)
    was = before.stretches[before.at(now)].ladder
    after = timeline_of(ProgramHistory([version])).stretches[0].ladder
    order = merged_order(was, after)
    names = {
        tier.id: tier.name
        for document in (in_force, draft)
        if document.ladder is not None
        for tier in document.ladder.tiers
    }
    # A scheduled ladder may have brought a customer somewhere that neither of the two knows.
    order += sorted(
        {tier for step in tally.customers for tier in step if tier is not None and tier not in order}
    )
    up, down = count_direction(order, tally.customers.items())
    return MovesReport(
        version=version.version,
        as_of=now,
        effective_from=version.effective_from,
        customers=sum(tally.customers.values()),
        tiers=[(tier, names.get(tier, tier)) for tier in order],
        matrix=dict(tally.customers),
        up=up,
        down=down,
        moved=tally.moved,
        digest=digest_of(tally.moved),
        outstanding_points=sum(tally.points.values()),
        value_minor=Change(_worth(in_force, tally, 0), _worth(draft, tally, 1)),
        year_points=Change(_on_top(in_force, tally, 0), _on_top(draft, tally, 1)),
        currency=draft.currency,
        currency_before=in_force.currency,
        seconds=seconds,
    )


def _worth(document: ProgramDocument, tally: MoveTally, side: int) -> int:
    """Return what the points of each tier's customers are worth together."""
    by_tier: dict[str | None, int] = {}
    for step, points in tally.points.items():
        by_tier[step[side]] = by_tier.get(step[side], 0) + points
    ladder = document.ladder
    return sum(
        value_minor(valued(document.redemption, None if ladder is None else ladder.tier(tier)), points)
        for tier, points in by_tier.items()
    )


def _on_top(document: ProgramDocument, tally: MoveTally, side: int) -> int:
    """Return what the tiers' multipliers would give on top of a year's purchases, rounded down for each tier."""
    by_tier: dict[str | None, int] = {}
    for step, points in tally.year_points.items():
        by_tier[step[side]] = by_tier.get(step[side], 0) + points
    total = 0
    for tier_id, points in by_tier.items():
        tier = None if document.ladder is None else document.ladder.tier(tier_id)
        if tier is not None and points > 0:
            total += points * (tier.earn_multiplier_pct - 100) // 100
    return total
