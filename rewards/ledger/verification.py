"""Verification: do the stored rows keep the ledger's laws?

Everything that the account row, the lots and the redemptions say is worked out again from the append-only
entries and consumptions, and every entry's digest from the one before it. The whole is read in one snapshot, a
few hundred customers at a time, so memory does not grow with the ledger.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from itertools import chain as chained
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, text

from rewards.core.wire import TextArray
from rewards.ledger.digest import COVERED, FIRST, canonical_form, chain
from rewards.ledger.provenance import (
    add_to_budgets,
    counts_of,
    facts_of,
    points_by_lot,
    refunds_by_activity,
    times_of_lot,
)
from rewards.ledger.standing_checks import check_standing
from rewards.ledger.state import Count, CountKey
from rewards.program import periods
from rewards.program.history import ProgramHistory
from rewards.program.holdout import read_arms
from rewards.program.versions import load_history

_covered = attrgetter(*COVERED)
_CUSTOMERS_AT_ONCE = 400
#: More breaks than this are counted but not listed: a list that long tells an operator nothing.
_MOST_LISTED = 1_000


@dataclass(slots=True)
class Break:
    """One place where stored data break an invariant. ``seq`` is the entry's or lot's number, where there is one."""

    invariant: str
    customer_id: str
    seq: int | None
    detail: str


@dataclass(slots=True)
class Report:
    """What a verification found."""

    customers: int = 0
    entries: int = 0
    breaks: list[Break] = field(default_factory=list)
    breaks_not_listed: int = 0

    def add(self, found: Break) -> None:
        """Add a break, to the list while that is not too long."""
        if len(self.breaks) < _MOST_LISTED:
            self.breaks.append(found)
        else:
            self.breaks_not_listed += 1

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.breaks

    def as_json(self) -> dict[str, Any]:
        """Return the report in the contract's shape."""
        return {
            "ok": self.ok,
            "customers": self.customers,
            "entries": self.entries,
            "breaks": [asdict(each) for each in self.breaks],
            **({"breaks_not_listed": self.breaks_not_listed} if self.breaks_not_listed else {}),
        }


@dataclass(slots=True)
class _History:
    """All stored rows of one customer."""

    account: Row[Any] | None = None
    entries: list[Row[Any]] = field(default_factory=list)
    lots: dict[int, Row[Any]] = field(default_factory=dict)
    consumptions: list[Row[Any]] = field(default_factory=list)
    redemptions: list[Row[Any]] = field(default_factory=list)
    reversals: list[Row[Any]] = field(default_factory=list)
    referral: Row[Any] | None = None
    activities: list[Row[Any]] = field(default_factory=list)
    counts: dict[CountKey, Count] = field(default_factory=dict)
    moves: list[Row[Any]] = field(default_factory=list)
    grants: list[Row[Any]] = field(default_factory=list)
    commands: dict[str, int] = field(default_factory=dict)
    assignments: dict[str, str] = field(default_factory=dict)


_Finding = tuple[str, int | None, str]


def verify(conn: Connection, progress: Callable[[int, int], None] | None = None) -> Report:
    """Verify the whole ledger and return every break found.

    Args:
        conn: a connection with no transaction open; it is given a read-only snapshot.
        progress: told the customers done and the customers there are, now and then.
    """
    report = Report()
    budgets: dict[str, Count] = {}
    conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    programs = load_history(conn)
    total = int(conn.execute(text("SELECT count(*) FROM accounts")).scalar_one())
    for customers in _customers(conn):
        for customer_id, history in _histories(conn, customers).items():
            report.customers += history.account is not None
            report.entries += len(history.entries)
            for invariant, seq, detail in _findings(history, programs):
                report.add(Break(invariant, customer_id, seq, detail))
            add_to_budgets(budgets, history.activities, refunds_by_activity(history.reversals), programs)
        if progress is not None:
            progress(report.customers, total)
    for detail in _wrong_budgets(conn, budgets):
        # Budgets are of all customers together.
        report.add(Break("budgets", "", None, detail))
    return report


def _wrong_budgets(conn: Connection, derived: dict[str, Count]) -> Iterator[str]:
    rows = conn.execute(text("SELECT rule_id, points, times FROM budgets"))
    stored = {rule_id: Count(points, times) for rule_id, points, times in rows}
    for rule_id in sorted({*stored, *derived}):
        kept, given = stored.get(rule_id, Count()), derived.get(rule_id, Count())
        if kept != given:
            yield f"rule {rule_id} has spent {tuple(kept)} of its budget, the activities say {tuple(given)}"


def _customers(conn: Connection) -> Iterator[list[str]]:
    """Yield the ids of all customers of whom anything is stored, in portions."""
    after = ""
    everywhere = text("""
        SELECT customer_id FROM (
            (SELECT customer_id FROM accounts WHERE customer_id > :after ORDER BY 1 LIMIT :most) UNION
            (SELECT DISTINCT customer_id FROM entries WHERE customer_id > :after ORDER BY 1 LIMIT :most) UNION
            (SELECT DISTINCT customer_id FROM lots WHERE customer_id > :after ORDER BY 1 LIMIT :most) UNION
            (SELECT DISTINCT customer_id FROM commands WHERE customer_id > :after ORDER BY 1 LIMIT :most)
        ) AS known ORDER BY 1 LIMIT :most""")
    while True:
        found = [row[0] for row in conn.execute(everywhere, {"after": after, "most": _CUSTOMERS_AT_ONCE})]
        if not found:
            return
        yield found
        after = found[-1]


def _histories(conn: Connection, customers: Sequence[str]) -> dict[str, _History]:
    histories = {customer_id: _History() for customer_id in customers}
    ids = {"customers": TextArray(customers)}

    def rows(table: str, order: str) -> Iterable[Row[Any]]:
        query = f"SELECT * FROM {table} WHERE customer_id = ANY(:customers) ORDER BY customer_id, {order}"  # noqa: S608 - the names are those below
        return conn.execute(text(query), ids)

    for row in rows("accounts", "customer_id"):
        histories[row.customer_id].account = row
    for row in rows("entries", "seq"):
        histories[row.customer_id].entries.append(row)
    for row in rows("lots", "lot_seq"):
        histories[row.customer_id].lots[row.lot_seq] = row
    for row in rows("consumptions", "entry_seq, lot_seq, debit_seq"):
        histories[row.customer_id].consumptions.append(row)
    for row in rows("redemptions", "redemption_seq"):
        histories[row.customer_id].redemptions.append(row)
    for row in rows("counts", "name, period"):
        histories[row.customer_id].counts[row.name, row.period] = Count(row.points, row.times)
    for row in rows("moves", "move_seq"):
        histories[row.customer_id].moves.append(row)
    for row in rows("standing_grants", "grant_seq"):
        histories[row.customer_id].grants.append(row)
    _read_beside_the_ledger(conn, histories, ids)
    # The answers and the activities' bodies are long, and nothing is checked of them.
    light = """
        SELECT customer_id, {columns} FROM {table} WHERE customer_id = ANY(:customers)"""
    activities = """activity_key, award_seq, points, program_version, occurred_at, grants, counted, tier,
        qualifying_points, spend_minor, held_out, body ->> 'type' AS type,
        CAST(body ->> 'total_minor' AS bigint) AS total_minor"""
    for row in conn.execute(text(light.format(columns=activities, table="activities")), ids):
        histories[row.customer_id].activities.append(row)
    for row in conn.execute(text(light.format(columns="idempotency_key, status", table="commands")), ids):
        histories[row.customer_id].commands[row.idempotency_key] = row.status
    return histories


def _read_beside_the_ledger(conn: Connection, histories: dict[str, _History], ids: dict[str, Any]) -> None:
    for row in conn.execute(_TAKEN_BACK, ids):
        histories[row.customer_id].reversals.append(row)
    for row in conn.execute(_REFERRALS, ids):
        histories[row.customer_id].referral = row
    for row in conn.execute(_ASSIGNMENTS, ids):
        histories[row.customer_id].assignments[row.experiment_id] = row.arm


#: Refunds, and retractions as refunds in full of what is no order; each with its activity and its entry's cause.
_TAKEN_BACK = text("""
SELECT customer_id, 'purchase:' || order_id AS activity_key, 'refund:' || order_id || ':' || refund_id AS cause,
       reversal_seq, amount_minor, by_grant, is_full, clawed_back, written_off, occurred_at, qualifying_points
FROM reversals WHERE customer_id = ANY(:customers)
UNION ALL
SELECT customer_id, activity_key, 'retract:' || activity_key, retraction_seq, 0, CAST(by_grant AS jsonb), true,
       clawed_back, written_off, occurred_at, qualifying_points
FROM retractions WHERE customer_id = ANY(:customers)
ORDER BY 1, 4""")

_ASSIGNMENTS = text("""
SELECT customer_id, experiment_id, arm FROM assignments WHERE customer_id = ANY(:customers)""")

_REFERRALS = text("""
SELECT r.customer_id, r.status, r.order_id, r.rewarded_at, r.due, a.customer_id IS NOT NULL AS referrer_was_rewarded,
       t.customer_id IS NOT NULL AS referrer_gave_back
FROM referrals AS r
LEFT JOIN activities AS a ON a.customer_id = r.referrer_id AND a.activity_key = 'referral:' || r.customer_id
LEFT JOIN retractions AS t ON t.customer_id = a.customer_id AND t.activity_key = a.activity_key
WHERE r.customer_id = ANY(:customers)""")


def _findings(history: _History, programs: ProgramHistory) -> Iterator[_Finding]:
    return chained(
        _check_origins(history, programs),
        _check_chain(history),
        _check_postings(history),
        _check_account(history),
        _check_redemptions(history),
        _check_reversals(history),
        _check_facts(history),
        _check_standing(history, programs),
        _check_referral(history),
        _check_holdout(history),
        _check_commands(history),
    )


def _check_chain(history: _History) -> Iterator[_Finding]:
    """Entries are gapless, each digest follows from the one before, and balances run."""
    previous, expected_seq, balance = FIRST, 1, 0
    for entry in history.entries:
        for seq in range(expected_seq, min(entry.seq, expected_seq + 100)):
            yield "entry-sequence", seq, f"entry {seq} is missing"
        if entry.seq == expected_seq:
            digest = chain(previous, canonical_form(_covered(entry)))
            if digest != bytes(entry.digest):
                yield "digest-chain", entry.seq, "the entry is not what its digest was made from"
        balance += entry.points
        if entry.balance_after != balance:
            yield (
                "balance-after",
                entry.seq,
                f"balance_after is {entry.balance_after}, the points sum to {balance}",
            )
            balance = entry.balance_after
        previous, expected_seq = bytes(entry.digest), entry.seq + 1
    account = history.account
    if account is None:
        yield "account", None, "there are rows of this customer, but no account"
        return
    for seq in range(expected_seq, min(account.seq + 1, expected_seq + 100)):
        yield "entry-sequence", seq, f"entry {seq} is missing; the account has written {account.seq}"
    if account.seq < expected_seq - 1:
        yield (
            "account-head",
            account.seq,
            f"the account's last entry is {account.seq}, the ledger's {expected_seq - 1}",
        )
    elif account.seq == expected_seq - 1 and bytes(account.digest) != previous:
        yield "account-head", account.seq, "the account's digest is not that of its last entry"


def _check_postings(history: _History) -> Iterator[_Finding]:
    """Each entry's points are those of its lot and consumptions; no lot is ever overdrawn; lots' caches agree."""
    by_entry: dict[int, int] = defaultdict(int)
    left = {lot_seq: lot.points for lot_seq, lot in history.lots.items()}
    expired: dict[int, int] = defaultdict(int)
    kinds = {entry.seq: entry.kind for entry in history.entries}
    for row in history.consumptions:
        by_entry[row.entry_seq] += row.points
        if row.entry_seq not in kinds:
            yield "consumption", row.entry_seq, f"a consumption of lot {row.lot_seq} belongs to no entry"
        if row.lot_seq == 0:
            continue
        if row.lot_seq not in left:
            yield "consumption", row.entry_seq, f"the entry draws on lot {row.lot_seq}, which does not exist"
            continue
        left[row.lot_seq] -= row.points
        if not 0 <= left[row.lot_seq] <= history.lots[row.lot_seq].points:
            yield (
                "lot-overdrawn",
                row.entry_seq,
                f"after the entry, lot {row.lot_seq} would have {left[row.lot_seq]}",
            )
        if kinds.get(row.entry_seq) in ("expire", "unexpire"):
            expired[row.lot_seq] += row.points
    yield from _check_lots(history, kinds, left, expired)
    for entry in history.entries:
        lot_points = history.lots[entry.seq].points if entry.seq in history.lots else 0
        posted = lot_points - by_entry[entry.seq]
        if posted != entry.points:
            yield (
                "entry-postings",
                entry.seq,
                f"the entry is of {entry.points} points, its rows move {posted}",
            )


def _check_lots(
    history: _History, kinds: dict[int, str], left: dict[int, int], expired: dict[int, int]
) -> Iterator[_Finding]:
    for lot_seq, lot in history.lots.items():
        if kinds.get(lot_seq) not in ("award", "adjust"):
            yield "lot", lot_seq, "the lot belongs to no award or adjustment"
        if lot.remaining != left[lot_seq]:
            yield (
                "lot-remaining",
                lot_seq,
                f"remaining is {lot.remaining}, its consumptions leave {left[lot_seq]}",
            )
        if lot.expired != expired[lot_seq]:
            yield "lot-expired", lot_seq, f"expired is {lot.expired}, its entries say {expired[lot_seq]}"
    yield from _check_written_off(history)


def _check_written_off(history: _History) -> Iterator[_Finding]:
    """The lots of an award together have what its refunds let be."""
    awards = {lot_seq: each.award_seq for each in history.activities for lot_seq in points_by_lot(each)}
    kept: dict[int, int] = defaultdict(int)
    for lot_seq, lot in history.lots.items():
        kept[awards.get(lot_seq, lot_seq)] += lot.written_off
    let_be = _written_off(history)
    for lot_seq, points in kept.items():
        if points != let_be[lot_seq]:
            yield "lot-written-off", lot_seq, f"written_off is {points}, its refunds say {let_be[lot_seq]}"


def _written_off(history: _History) -> dict[int, int]:
    """Return what refunds let be of each award's points, less what was taken when it came back."""
    written_off: dict[int, int] = defaultdict(int)
    award_seqs = {each.activity_key: each.award_seq for each in history.activities}
    for reversal in history.reversals:
        if reversal.written_off:
            written_off[award_seqs.get(reversal.activity_key, 0)] += reversal.written_off
    first_of = {lot_seq: each.award_seq for each in history.activities for lot_seq in points_by_lot(each)}
    for entry in history.entries:
        if entry.kind == "clawback" and entry.cause.startswith("lot:"):
            lot_seq = int(entry.cause.removeprefix("lot:"))
            written_off[first_of.get(lot_seq, lot_seq)] += entry.points
    return written_off


def _check_origins(history: _History, programs: ProgramHistory) -> Iterator[_Finding]:
    """What an entry was made from is on record, and a lot lives as long as its program version says."""
    awards = {
        lot_seq: (each, points)
        for each in history.activities
        for lot_seq, points in points_by_lot(each).items()
    }
    redemptions = {each.redemption_seq for each in history.redemptions}
    refunds = {each.reversal_seq: each.cause for each in history.reversals}
    for entry in history.entries:
        if entry.kind == "award":
            activity, points = awards.get(entry.seq, (None, 0))
            made = activity and (
                activity.activity_key,
                activity.program_version,
                activity.occurred_at,
                points,
            )
            if made != (entry.cause, entry.program_version, entry.occurred_at, entry.points):
                yield "activity", entry.seq, f"{entry.cause} is not on record as the award's entry has it"
        elif (
            entry.kind in ("hold", "redeem")
            and int(entry.cause.removeprefix("redemption:")) not in redemptions
        ):
            yield "redemption", entry.seq, f"{entry.cause} is not on record"
        elif (
            entry.kind == "clawback"
            and not entry.cause.startswith("lot:")
            and refunds.get(entry.seq) != entry.cause
        ):
            yield "reversal", entry.seq, f"{entry.cause} is not on record as the clawback's entry has it"
        activity, _ = awards.get(entry.seq, (None, 0))
        if entry.seq in history.lots and not _lives_as_it_should(
            history.lots[entry.seq], entry, activity, programs
        ):
            yield "lot-life", entry.seq, "the lot's dates are not those that its program version gives"


def _lives_as_it_should(
    lot: Row[Any], entry: Row[Any], activity: Row[Any] | None, programs: ProgramHistory
) -> bool:
    document = programs.by_version(entry.program_version).document
    if activity is None:
        times = periods.times(document.points, document.zone)
    else:
        times = times_of_lot(document, activity, entry.seq)
    occurred_at = entry.occurred_at.astimezone(UTC)
    expires_at = None if times.expires_at is None else times.expires_at(occurred_at)
    available_at = times.available_at(occurred_at) if entry.kind == "award" else occurred_at
    if times.inactive_at is not None and not lot.expires_on_inactivity:
        # Inactivity has ended it, and its end stands since.
        return lot.available_at == available_at and lot.expires_at is not None
    kept = (lot.available_at, lot.expires_at, lot.expires_on_inactivity)
    return kept == (available_at, expires_at, times.inactive_at is not None)


def _check_account(history: _History) -> Iterator[_Finding]:
    """The account's cached balances are those of its lots, consumptions and holds when it was last written."""
    account = history.account
    if account is None:
        return
    available = pending = 0
    soonest = None
    for lot in history.lots.values():
        if lot.remaining == 0:
            continue
        expires_at = account.inactive_at if lot.expires_on_inactivity else lot.expires_at
        if lot.available_at > account.as_of:
            pending += lot.remaining
        else:
            available += lot.remaining
        for instant in (lot.available_at, expires_at):
            if instant is not None and instant > account.as_of and (soonest is None or instant < soonest):
                soonest = instant
    holds = [each for each in history.redemptions if each.status == "held"]
    soonest = min([each.hold_expires_at for each in holds] + ([soonest] if soonest else []), default=None)
    derived = {
        "balance": sum(entry.points for entry in history.entries),
        "available": available,
        "pending": pending,
        "held": sum(each.points for each in holds),
        "deficit": sum(row.points for row in history.consumptions if row.lot_seq == 0),
    }
    for name, value in derived.items():
        if getattr(account, name) != value:
            yield (
                "account-balances",
                account.seq,
                f"{name} is {getattr(account, name)}, the ledger says {value}",
            )
    if soonest is not None and (account.next_change_at is None or account.next_change_at > soonest):
        yield (
            "account-next-change",
            account.seq,
            f"next_change_at is {account.next_change_at}, due at {soonest}",
        )
    if derived["deficit"] and (available or pending):
        yield "deficit", account.seq, f"{derived['deficit']} points are owed while lots are open"


def _check_redemptions(history: _History) -> Iterator[_Finding]:
    """Each hold is resolved at most once, and what was captured and reinstated is what the entries moved."""
    moved: dict[tuple[str, str], int] = defaultdict(int)
    times: dict[tuple[str, str], int] = defaultdict(int)
    net: dict[int, int] = defaultdict(int)
    for entry in history.entries:
        moved[entry.kind, entry.cause] += abs(entry.points)
        times[entry.kind, entry.cause] += 1
    for row in history.consumptions:
        net[row.debit_seq] += row.points
    for each in history.redemptions:
        seq, cause = each.redemption_seq, f"redemption:{each.redemption_seq}"
        was_held = times["hold", cause]
        releases = times["release", cause]
        if releases > 1 or (was_held and (releases == 0) != (each.status == "held")):
            yield "hold-resolved-once", seq, f"the hold is {each.status} and was released {releases} times"
        if (moved["hold", cause] if was_held else moved["redeem", cause]) != each.points:
            yield "redemption", seq, f"the redemption is of {each.points} points, its entry of another number"
        if moved["redeem", cause] != each.captured:
            yield "redemption", seq, f"captured is {each.captured}, the entries took {moved['redeem', cause]}"
        if each.redeem_seq is not None and net[each.redeem_seq] != each.captured - each.reinstated:
            yield "redemption", seq, f"reinstated is {each.reinstated}, the lots got back another number"


def _check_reversals(history: _History) -> Iterator[_Finding]:
    """All refunds of an order together took no more than it gave and, once full, exactly that."""
    by_activity = refunds_by_activity(history.reversals)
    entries = {entry.seq: entry for entry in history.entries}
    for activity in history.activities:
        parts = [entries.get(lot_seq) for lot_seq in points_by_lot(activity)]
        booked = [entry.points for entry in parts if entry is not None and entry.kind == "award"]
        if len(booked) != len(parts) or sum(booked) != activity.points:
            yield "activity", activity.award_seq, f"{activity.activity_key} and its award entry differ"
        refunds = by_activity.get(activity.activity_key, [])
        taken = [
            sum(parts) for parts in zip(*(each.by_grant for each in refunds if each.by_grant), strict=False)
        ]
        given = [grant["points"] for grant in activity.grants]
        if any(part > whole for part, whole in zip(taken, given, strict=False)):
            yield "reversal", activity.award_seq, f"refunds of {activity.activity_key} took more than it gave"
        if any(each.is_full for each in refunds) and taken != given:
            yield (
                "reversal",
                activity.award_seq,
                f"{activity.activity_key} is refunded in full, but not its points",
            )
        if sum(each.amount_minor for each in refunds) > (activity.total_minor or 0):
            yield "reversal", activity.award_seq, f"refunds of {activity.activity_key} exceed its total"
    for reversal in history.reversals:
        entry = entries.get(reversal.reversal_seq)
        if entry is None or entry.kind != "clawback" or -entry.points != reversal.clawed_back:
            yield (
                "reversal",
                reversal.reversal_seq,
                f"{reversal.cause} and its clawback entry differ",
            )
        if sum(reversal.by_grant) != reversal.clawed_back + reversal.written_off:
            yield "reversal", reversal.reversal_seq, f"the parts of {reversal.cause} do not add up"


def _check_facts(history: _History) -> Iterator[_Finding]:
    """What conditions ask about the customer, and what limits counted, follows from the activities and refunds."""
    account = history.account
    if account is None:
        return
    refunds = refunds_by_activity(history.reversals)
    facts = facts_of(history.activities, refunds)
    for name, value in facts._asdict().items():
        if getattr(account, name) != value:
            yield (
                "account-facts",
                account.seq,
                f"{name} is {getattr(account, name)}, the activities say {value}",
            )
    counted = counts_of(history.activities, refunds)
    for key in sorted({*counted, *history.counts}):
        stored, derived = history.counts.get(key, Count()), counted.get(key, Count())
        if stored != derived:
            what = " ".join(key)
            yield "counts", None, f"{what} is {tuple(stored)}, the activities say {tuple(derived)}"


def _check_standing(history: _History, programs: ProgramHistory) -> Iterator[_Finding]:
    """The standing is what the ladder makes of the customer's qualifying history."""
    if history.account is not None:
        refunds = refunds_by_activity(history.reversals)
        yield from check_standing(
            history.account, history.activities, refunds, history.moves, history.grants, programs
        )


def _check_referral(history: _History) -> Iterator[_Finding]:
    """The referral rests on an order that is on record; where it was undone, what it gave was taken back."""
    referral, account = history.referral, history.account
    if account is not None and account.referred != (referral is not None):
        yield "referral", None, f"the account says {account.referred} of whether there is a referral"
    if referral is None:
        return
    keys = {each.activity_key for each in history.activities}
    if referral.order_id is not None and f"purchase:{referral.order_id}" not in keys:
        yield "referral", None, f"order {referral.order_id} of the referral is not on record"
    if referral.status in ("qualified", "rewarded") and referral.order_id is None:
        yield "referral", None, f"the referral is {referral.status} without an order"
    is_undone = referral.status in ("reversed", "rejected") and referral.due is None
    taken_back = {each.activity_key for each in history.reversals}
    if is_undone and referral.rewarded_at is not None and "referred" in keys - taken_back:
        yield "referral", None, f"the referral is {referral.status}, but its reward was not taken back"
    if (
        is_undone
        and referral.referrer_was_rewarded
        and not referral.referrer_gave_back
        and referral.rewarded_at
    ):
        yield (
            "referral",
            None,
            f"the referral is {referral.status}, but the referrer's reward was not taken back",
        )


def _check_holdout(history: _History) -> Iterator[_Finding]:
    """Who was held out was given nothing, and the account has the arms that were assigned."""
    for activity in history.activities:
        if activity.held_out and (activity.points or activity.qualifying_points):
            yield (
                "holdout",
                activity.award_seq,
                f"{activity.activity_key} was held out, and was given {activity.points} points",
            )
    arms = None if history.account is None else history.account.arms
    kept = {name: arm for name, (arm, _) in read_arms(arms).items()} if arms is not None else {}
    if kept != history.assignments:
        yield "holdout", None, f"the account has the arms {kept}, the assignments say {history.assignments}"


def _check_commands(history: _History) -> Iterator[_Finding]:
    """Each accepted command is in the ledger, and each entry made by a command belongs to an accepted one."""
    used: set[str] = set()
    for entry in history.entries:
        key = entry.idempotency_key
        if key is None:
            continue
        used.add(key)
        if not 200 <= history.commands.get(key, 0) < 300:
            yield "command", entry.seq, f"the entry's command {key!r} is not on record as accepted"
    for key, status in history.commands.items():
        if 200 <= status < 300 and key not in used:
            yield "command", None, f"command {key!r} was accepted, but no entry is its"
