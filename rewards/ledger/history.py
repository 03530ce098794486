"""A customer's entries as sentences that a customer understands. Read-only."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, func, select

from rewards.core.wording import money, points
from rewards.ledger.provenance import explanation_of
from rewards.ledger.tables import AccountRow, ActivityRow, EntryRow, LotRow, RedemptionRow, ReversalRow

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory

_activities = ActivityRow.__table__  # type: ignore[attr-defined]
_accounts = AccountRow.__table__  # type: ignore[attr-defined]
_entries = EntryRow.__table__  # type: ignore[attr-defined]
_lots = LotRow.__table__  # type: ignore[attr-defined]
_redemptions = RedemptionRow.__table__  # type: ignore[attr-defined]
_reversals = ReversalRow.__table__  # type: ignore[attr-defined]

_Row = Row[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One entry, told to the customer.

    Attributes:
        seq: the entry's number; the next page is the one before the last line's.
        kind: the entry's kind.
        points: what it added to the balance, signed.
        balance_after: the balance with it.
        sentence: what happened, in plain words. Text, not HTML: it may hold anything that the shop sent.
        note: the reason of an adjustment.
        occurred_at: when, in ``zone``.
        zone: the time zone of the program version that it was booked under.
        remaining: how much of what it credited is neither spent, held nor expired by now.
        available_at: when what it credited can be spent; None where it credited nothing.
        expires_at: when what it credited expires; None where it does not, or credited nothing.
        explanation: how an award's points were worked out, a sentence for each rule that gave some or was cut.
        actor: who made it, such as ``key:3f2a``; not for the customer.
        cause: what caused it, as the ledger has it.
        program_version: the version that it was booked under.
        held_out: whether it was given nothing because the customer was held out of the program; not for the customer.
    """

    seq: int
    kind: str
    points: int
    balance_after: int
    sentence: str
    note: str | None
    occurred_at: datetime
    zone: ZoneInfo
    remaining: int
    available_at: datetime | None
    expires_at: datetime | None
    explanation: Sequence[str] = ()
    actor: str = ""
    cause: str = ""
    program_version: int = 0
    held_out: bool = False


def history_view(
    conn: Connection,
    customer_id: str,
    limit: int,
    before_seq: int | None,
    history: "ProgramHistory",
    kinds: Collection[str] = (),
    *,
    with_held_out: bool = True,
) -> list[HistoryLine]:
    """Return up to ``limit`` entries with a seq below ``before_seq`` (None: the latest), the newest first.

    ``kinds`` of entry are wanted, all where none is named; ``with_held_out`` says whether also those that were given
    nothing because the customer was held out of the program.
    """
    query = (
        select(
            _entries,
            _lots.c.remaining,
            _lots.c.available_at,
            _lots.c.expires_at,
            _lots.c.expires_on_inactivity,
            _accounts.c.inactive_at,
            _activities.c.grants,
            _activities.c.award_seq,
            _activities.c.held_out,
        )
        .select_from(
            _entries.join(_accounts, _accounts.c.customer_id == _entries.c.customer_id)
            .outerjoin(
                _lots, and_(_lots.c.customer_id == _entries.c.customer_id, _lots.c.lot_seq == _entries.c.seq)
            )
            .outerjoin(
                _activities,
                and_(
                    _entries.c.kind == "award",
                    _activities.c.customer_id == _entries.c.customer_id,
                    _activities.c.activity_key == _entries.c.cause,
                ),
            )
        )
        .where(_entries.c.customer_id == customer_id)
        .order_by(_entries.c.seq.desc())
        .limit(limit)
    )
    if before_seq is not None:
        query = query.where(_entries.c.seq < before_seq)
    if kinds:
        query = query.where(_entries.c.kind.in_(sorted(kinds)))
    if not with_held_out:
        query = query.where(_activities.c.held_out.is_not(True))
    rows = conn.execute(query).all()
    causes = _Causes(conn, customer_id, rows)
    return [_line(row, causes, history) for row in rows]


def _line(row: _Row, causes: "_Causes", history: "ProgramHistory") -> HistoryLine:
    zone = history.by_version(row.program_version).document.zone
    return HistoryLine(
        seq=row.seq,
        kind=row.kind,
        points=row.points,
        balance_after=row.balance_after,
        sentence=_SENTENCES[row.kind](row, causes),
        note=row.note if row.kind == "adjust" else None,
        occurred_at=row.occurred_at.astimezone(zone),
        zone=zone,
        remaining=row.remaining or 0,
        available_at=row.available_at,
        expires_at=row.inactive_at if row.expires_on_inactivity else row.expires_at,
        explanation=_explanation(row),
        actor=row.actor,
        cause=row.cause,
        program_version=row.program_version,
        held_out=bool(row.held_out),
    )


def _explanation(row: _Row) -> list[str]:
    if row.grants is None:
        return []
    given = [
        each
        for each in explanation_of(row.grants, row.award_seq, row.seq)
        if each["points"] or "cuts" in each
    ]
    if len(given) == 1:
        return [given[0]["text"]]
    return [f"{each['points']}: {each['text']}" for each in given]


class _Causes:
    """What the entries of a page were caused by, read at once for each kind of cause."""

    def __init__(self, conn: Connection, customer_id: str, rows: Sequence[_Row]) -> None:
        redemptions = _numbers(rows, "redemption:")
        self.redemption: dict[int, _Row] = {}
        if redemptions:
            query = select(_redemptions).where(
                _redemptions.c.customer_id == customer_id, _redemptions.c.redemption_seq.in_(redemptions)
            )
            self.redemption = {row.redemption_seq: row for row in conn.execute(query)}
        refunds = sorted({row.cause for row in rows if row.cause.startswith("refund:")})
        self.refunded_order: dict[str, str] = {}
        if refunds:
            # An order's id may itself hold a colon, so the cause is looked up rather than taken apart.
            cause = func.concat("refund:", _reversals.c.order_id, ":", _reversals.c.refund_id)
            query = select(cause.label("cause"), _reversals.c.order_id).where(
                _reversals.c.customer_id == customer_id, cause.in_(refunds)
            )
            self.refunded_order = {row.cause: row.order_id for row in conn.execute(query)}
        lots = _numbers(rows, "lot:")
        self.credited_for: dict[int, str] = {}
        if lots:
            query = select(_entries.c.seq, _entries.c.cause).where(
                _entries.c.customer_id == customer_id, _entries.c.seq.in_(lots)
            )
            self.credited_for = {row.seq: row.cause for row in conn.execute(query)}


def _numbers(rows: Iterable[_Row], prefix: str) -> list[int]:
    return sorted({int(row.cause.removeprefix(prefix)) for row in rows if row.cause.startswith(prefix)})


def _award(row: _Row, causes: _Causes) -> str:
    del causes
    earned = points(row.points) if row.points else "no points"
    return f"Earned {earned} for {_activity(row.cause)}"


#: Who was referred, or by whom, is not told: the page shows nobody but its owner.
_WITHOUT_NAME = {
    "survey": "answering a survey",
    "referral": "bringing a friend",
    "referred": "being brought by a friend",
    "signup": "joining",
    "birthday": "your birthday",
    "anniversary": "another year with us",
}


def _activity(activity_key: str) -> str:
    kind, _, name = activity_key.partition(":")
    match kind:
        case "purchase":
            return f"order {name}"
        case "survey" | "referral" | "referred" | "signup" | "birthday" | "anniversary":
            return _WITHOUT_NAME[kind]
        case "review":
            return f"reviewing {name}"
        case "tier":
            return "reaching a new tier"
        case _:
            # custom:LENGTH:NAME:KEY
            length, _, rest = name.partition(":")
            return rest[: int(length)] if length.isdecimal() else "an activity"


def _clawback(row: _Row, causes: _Causes) -> str:
    if row.cause.startswith("retract:"):
        taken = f"{points(-row.points)} taken back" if row.points else "no points taken back"
        return f"No longer counts, {_activity(row.cause.removeprefix('retract:'))}: {taken}"
    refund = _refund(row, causes)
    if row.points == 0:
        return f"{refund}: no points taken back"
    return f"{refund}: {points(-row.points)} taken back"


def _refund(row: _Row, causes: _Causes) -> str:
    order_id = causes.refunded_order.get(row.cause)
    return "Refund" if order_id is None else f"Refund of order {order_id}"


def _redeem(row: _Row, causes: _Causes) -> str:
    redemption = _redemption(row, causes)
    spent = f"Spent {points(-row.points)}"
    if redemption is None:
        return spent
    worth = f", worth {money(redemption.value_minor, redemption.currency)}"
    return spent + worth + (f", on order {redemption.order_id}" if redemption.order_id else "")


def _reinstate(row: _Row, causes: _Causes) -> str:
    if row.cause.startswith("refund:"):
        return f"{_refund(row, causes)}: the {points(row.points)} that paid for it came back"
    return f"{points(row.points)} came back: you no longer spent them{_on_order(_redemption(row, causes))}"


def _hold(row: _Row, causes: _Causes) -> str:
    return f"Set {points(-row.points)} aside{_on_order(_redemption(row, causes), 'for')}"


def _release(row: _Row, causes: _Causes) -> str:
    return f"{points(row.points)} no longer set aside{_on_order(_redemption(row, causes), 'for')}"


def _on_order(redemption: _Row | None, preposition: str = "on") -> str:
    return f" {preposition} order {redemption.order_id}" if redemption and redemption.order_id else ""


def _redemption(row: _Row, causes: _Causes) -> _Row | None:
    return causes.redemption.get(int(row.cause.removeprefix("redemption:")))


def _adjust(row: _Row, causes: _Causes) -> str:
    del causes
    return f"The shop {'gave you' if row.points > 0 else 'took back'} {points(abs(row.points))}"


def _expire(row: _Row, causes: _Causes) -> str:
    return f"{points(-row.points)} expired{_credited(row, causes)}"


def _unexpire(row: _Row, causes: _Causes) -> str:
    return f"{points(row.points)} no longer count as expired{_credited(row, causes)}"


def _credited(row: _Row, causes: _Causes) -> str:
    cause = causes.credited_for.get(int(row.cause.removeprefix("lot:")), "adjustment")
    return "" if cause == "adjustment" else f" (earned for {_activity(cause)})"


_SENTENCES: dict[str, Callable[[_Row, _Causes], str]] = {
    "award": _award,
    "clawback": _clawback,
    "redeem": _redeem,
    "reinstate": _reinstate,
    "hold": _hold,
    "release": _release,
    "adjust": _adjust,
    "expire": _expire,
    "unexpire": _unexpire,
}
