"""What a customer is told: the balance at any instant, what expires when, and the entries. Read-only.

Each question is one SQL statement, hence one snapshot: a command that commits meanwhile is seen whole or not
at all, and an answer costs one round trip. Instants go out as RFC 3339 in UTC, ``2026-11-01T12:00:00Z``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BindParameter, Connection, and_, bindparam, func, select
from sqlalchemy.dialects.postgresql import JSON

from rewards.core import ids
from rewards.ledger.balances import DEFICIT, Balance, Credit, Hold, Taking, balance_at
from rewards.ledger.provenance import explanation_of
from rewards.ledger.standings import read_outlook
from rewards.ledger.tables import AccountRow, ActivityRow, ConsumptionRow, EntryRow, LotRow, RedemptionRow
from rewards.program.holdout import Participation, first_known, participation
from tiers.ladder import tier_told
from tiers.progress import as_told

if TYPE_CHECKING:
    from rewards.program.history import ProgramHistory

_accounts = AccountRow.__table__  # type: ignore[attr-defined]
_activities = ActivityRow.__table__  # type: ignore[attr-defined]
_consumptions = ConsumptionRow.__table__  # type: ignore[attr-defined]
_entries = EntryRow.__table__  # type: ignore[attr-defined]
_lots = LotRow.__table__  # type: ignore[attr-defined]
_redemptions = RedemptionRow.__table__  # type: ignore[attr-defined]

_THE_CUSTOMER: BindParameter[str] = bindparam("customer_id")
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def customer_statement(
    conn: Connection, history: "ProgramHistory", customer_id: str, as_of: datetime | None, now: datetime
) -> dict[str, Any] | None:
    """Return a customer's balance and what becomes of it, as the API shows it; None for an unknown customer.

    Args:
        conn: reads only.
        history: the program's versions.
        customer_id: whose.
        as_of: the instant asked about: what was then (by when things occurred, so a backdated award counts
            from when it happened), or what will be if nothing happens until then. None is now.
        now: the present.

    Returns:
        ``expirations`` adds up to ``available + pending``; with a ``deficit`` all of these are 0.
    """
    found = read_balance(conn, customer_id, as_of, now)
    if found is None:
        return None
    balance = found.balance
    part = found.participation(history, customer_id)
    # Who is held out is shown no tier: what it takes to reach one is not open to it.
    seen = None if part.is_held_out else read_outlook(conn, history, customer_id, balance.at)
    return {
        "customer_id": customer_id,
        "as_of": rfc3339(balance.at),
        "balance": {
            "available": balance.available,
            "pending": balance.pending,
            "held": balance.held,
            "deficit": balance.deficit,
        },
        "expirations": [
            {"expires_at": expires_at and rfc3339(expires_at), "points": points, "pending": is_pending}
            for expires_at, points, is_pending in balance.expirations()
        ],
        "pending": [
            {"available_at": rfc3339(available_at), "points": points}
            for available_at, points in balance.arrivals()
        ],
        "holds": [
            {
                "redemption_id": ids.encode(ids.REDEMPTION, customer_id, hold.redemption_seq),
                "points": hold.points,
                "expires_at": rfc3339(hold.expires_at),
            }
            for hold in balance.holds
        ],
        "tier": None if seen is None else tier_told(seen.ladder, seen.standing),
        "standing": None if seen is None else as_told(seen),
        "program": part.told(),
        "enrolled": not part.is_held_out,
        "held_out": part.is_held_out,
        "customer_since": rfc3339(found.customer_since),
    }


class Found(NamedTuple):
    """What a customer's account holds: the balance, since when there is one, and how many entries.

    ``first_at`` is since when anything is known of the customer, ``arms`` are those that were assigned.
    """

    balance: Balance
    customer_since: datetime
    entries: int
    first_at: datetime | None
    arms: str | None

    def participation(self, history: "ProgramHistory", customer_id: str) -> Participation:
        """Return whether the customer takes part in the program at the balance's instant."""
        at = self.balance.at
        experiment = history.in_force(at).document.experiment
        return participation(experiment, customer_id, self.first_at, self.arms, at)


def read_balance(conn: Connection, customer_id: str, as_of: datetime | None, now: datetime) -> Found | None:
    """Return a customer's balance at ``as_of`` (now if None) with what goes with it; None if unknown."""
    if as_of is not None and as_of < now:
        row = conn.execute(_EVERYTHING, {"customer_id": customer_id, "as_of": as_of}).one_or_none()
    else:
        row = conn.execute(_WHAT_IS_OPEN, {"customer_id": customer_id}).one_or_none()
    if row is None:
        return None
    read = _as_it_was if as_of is not None and as_of < now else _as_it_is
    lots, takings, holds = read(row)
    balance = balance_at(lots, takings, holds, row.inactive_at, as_of or now)
    first_at = first_known(row.joined_at, row.member_since)
    return Found(balance, row.customer_since, row.seq, first_at, row.arms)


def entries_page(
    conn: Connection, customer_id: str, limit: int, before_seq: int | None = None
) -> list[dict[str, Any]]:
    """Return up to ``limit`` entries with a seq below ``before_seq``, the newest first; awards are explained."""
    columns = _entries.c
    of_award = and_(
        columns.kind == "award",
        _activities.c.customer_id == columns.customer_id,
        _activities.c.activity_key == columns.cause,
    )
    query = select(_entries, _activities.c.grants, _activities.c.award_seq)
    query = query.select_from(_entries.outerjoin(_activities, of_award))
    query = query.where(columns.customer_id == customer_id).order_by(columns.seq.desc()).limit(limit)
    if before_seq is not None:
        query = query.where(columns.seq < before_seq)
    return [
        {
            "seq": row.seq,
            "kind": row.kind,
            "points": row.points,
            "balance_after": row.balance_after,
            "occurred_at": rfc3339(row.occurred_at),
            "recorded_at": rfc3339(row.recorded_at),
            "cause": row.cause,
            "program_version": row.program_version,
            "actor": row.actor,
            "note": row.note,
            "digest": row.digest.hex(),
            "explanation": None if row.grants is None else explanation_of(row.grants, row.award_seq, row.seq),
        }
        for row in conn.execute(query)
    ]


def rfc3339(instant: datetime) -> str:
    """Write an instant in UTC: ``2026-11-01T12:00:00Z``, six digits of a second where it has any."""
    return instant.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _rows_of(*columns: Any) -> Any:
    """Aggregate rows to a JSON array of arrays; no rows to an empty one."""
    return func.coalesce(func.json_agg(func.json_build_array(*columns)), func.json_build_array(), type_=JSON)


def _account_with(**parts: Any) -> Any:
    first_entry = (
        select(_entries.c.occurred_at)
        .where(_entries.c.customer_id == _THE_CUSTOMER, _entries.c.seq == 1)
        .scalar_subquery()
    )
    return select(
        _accounts.c.seq,
        _accounts.c.inactive_at,
        _accounts.c.deficit,
        _accounts.c.joined_at,
        _accounts.c.member_since,
        _accounts.c.arms,
        func.least(_accounts.c.created_at, first_entry).label("customer_since"),
        *(part.scalar_subquery().label(name) for name, part in parts.items()),
    ).where(_accounts.c.customer_id == _THE_CUSTOMER)


_THE_REST = (_lots.c.available_at, _lots.c.expires_at, _lots.c.expires_on_inactivity, _lots.c.written_off)

#: All that is left today. It holds for the present and, as nothing is known to happen later, for the future.
_WHAT_IS_OPEN = _account_with(
    open_lots=select(_rows_of(_lots.c.lot_seq, _lots.c.remaining, *_THE_REST)).where(
        _lots.c.customer_id == _THE_CUSTOMER, _lots.c.remaining > 0
    ),
    held=select(
        _rows_of(
            _redemptions.c.redemption_seq,
            _redemptions.c.hold_expires_at,
            _consumptions.c.points,
            _lots.c.lot_seq,
            *_THE_REST,
        )
    )
    .select_from(
        _redemptions.join(
            _consumptions,
            (_consumptions.c.customer_id == _redemptions.c.customer_id)
            & (_consumptions.c.debit_seq == _redemptions.c.redemption_seq),
        ).join(
            _lots,
            (_lots.c.customer_id == _consumptions.c.customer_id)
            & (_lots.c.lot_seq == _consumptions.c.lot_seq),
        )
    )
    .where(_redemptions.c.customer_id == _THE_CUSTOMER, _redemptions.c.status == "held"),
)

_OCCURRED = (_entries.c.customer_id == _THE_CUSTOMER) & (_entries.c.occurred_at <= bindparam("as_of"))

#: All that happened until an instant in the past.
_EVERYTHING = _account_with(
    lots=select(_rows_of(_lots.c.lot_seq, _lots.c.points, _entries.c.occurred_at, *_THE_REST))
    .select_from(
        _lots.join(
            _entries, (_entries.c.customer_id == _lots.c.customer_id) & (_entries.c.seq == _lots.c.lot_seq)
        )
    )
    .where(_OCCURRED),
    takings=select(
        _rows_of(
            _entries.c.occurred_at,
            _consumptions.c.entry_seq,
            _consumptions.c.lot_seq,
            _consumptions.c.debit_seq,
            _consumptions.c.points,
        )
    )
    .select_from(
        _consumptions.join(
            _entries,
            (_entries.c.customer_id == _consumptions.c.customer_id)
            & (_entries.c.seq == _consumptions.c.entry_seq),
        )
    )
    .where(_OCCURRED),
    holds=select(_rows_of(_redemptions.c.redemption_seq, _redemptions.c.hold_expires_at)).where(
        _redemptions.c.customer_id == _THE_CUSTOMER, _redemptions.c.hold_expires_at.is_not(None)
    ),
)

_Rows = tuple[Sequence[Credit], Sequence[Taking], Sequence[Hold]]


def _as_it_was(row: Any) -> _Rows:
    lots = [
        Credit(lot_seq, points, _instant(occurred_at), *_the_rest(rest))
        for lot_seq, points, occurred_at, *rest in row.lots
    ]
    takings = [Taking(_instant(occurred_at), *numbers) for occurred_at, *numbers in row.takings]
    return lots, takings, [Hold(seq, _instant(expires_at)) for seq, expires_at in row.holds]


def _as_it_is(row: Any) -> _Rows:
    """Put what is left in the form of a history: lots of what they have and hold, the holds, and the debt."""
    lots = {
        lot_seq: Credit(lot_seq, remaining, _BEGINNING, *_the_rest(rest))
        for lot_seq, remaining, *rest in row.open_lots
    }
    takings = []
    holds = {}
    for hold_seq, lapses_at, points, lot_seq, *rest in row.held:
        holds[hold_seq] = Hold(hold_seq, _instant(lapses_at))
        takings.append(Taking(_BEGINNING, hold_seq, lot_seq, hold_seq, points))
        lot = lots.get(lot_seq) or Credit(lot_seq, 0, _BEGINNING, *_the_rest(rest))
        lots[lot_seq] = lot._replace(points=lot.points + points)
    if row.deficit:
        takings.append(Taking(_BEGINNING, 0, DEFICIT, 0, row.deficit))
    return list(lots.values()), takings, list(holds.values())


def _the_rest(values: Sequence[Any]) -> tuple[datetime, datetime | None, bool, int]:
    available_at, expires_at, expires_on_inactivity, written_off = values
    return _instant(available_at), expires_at and _instant(expires_at), expires_on_inactivity, written_off


def _instant(text: str) -> datetime:
    """Read an instant as PostgreSQL writes it in JSON."""
    return datetime.fromisoformat(text)
