"""What a decision is made from and what it makes: plain data, no database.

A :class:`CustomerState` is what was loaded about one customer; a :class:`Decision` says what comes to be.
Points are integers, money is integer minor units, instants are in UTC.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from rewards.core.errors import Refusal
from rewards.ledger.digest import FIRST
from rewards.ledger.referral_state import Referral, Referring
from rewards.ledger.standing_state import Move, Qualifying, Standing, StandingGrant


@dataclass(slots=True)
class Account:
    """The account row; balances are true at ``as_of`` and until ``next_change_at``.

    What the rules' conditions ask about a customer stands here too: ``purchases`` that were not refunded whole,
    ``spent_minor`` on them, net of refunds, and the ``tags`` that the shop gave the customer.
    """

    customer_id: str
    seq: int = 0
    balance: int = 0
    available: int = 0
    pending: int = 0
    held: int = 0
    deficit: int = 0
    digest: bytes = FIRST
    as_of: datetime | None = None
    next_change_at: datetime | None = None
    last_activity_at: datetime | None = None
    inactive_at: datetime | None = None
    purchases: int = 0
    spent_minor: int = 0
    last_purchase_at: datetime | None = None
    joined_at: datetime | None = None
    tags: Sequence[str] = ()
    #: Whether another customer's code brought this one, so that there is a referral to load.
    referred: bool = False
    #: Since when the shop says that the customer is a member; None is since the first activity.
    member_since: datetime | None = None
    #: The standing on the ladder as it was last written; None before there is one.
    standing: Standing | None = None
    #: Arms of experiments that were assigned; None for most. See :func:`rewards.program.holdout.with_arm`.
    arms: str | None = None

    def copy(self) -> "Account":
        """Return an independent copy."""
        return Account(
            self.customer_id,
            self.seq,
            self.balance,
            self.available,
            self.pending,
            self.held,
            self.deficit,
            self.digest,
            self.as_of,
            self.next_change_at,
            self.last_activity_at,
            self.inactive_at,
            self.purchases,
            self.spent_minor,
            self.last_purchase_at,
            self.joined_at,
            self.tags,
            self.referred,
            self.member_since,
            self.standing,
            self.arms,
        )


@dataclass(slots=True)
class Lot:
    """A credit and what is left of it; ``expired`` is what time took from it, ``written_off`` what a refund let be."""

    lot_seq: int
    points: int
    remaining: int
    expired: int
    available_at: datetime
    expires_at: datetime | None
    expires_on_inactivity: bool
    written_off: int = 0

    def copy(self) -> "Lot":
        """Return an independent copy."""
        return Lot(
            self.lot_seq,
            self.points,
            self.remaining,
            self.expired,
            self.available_at,
            self.expires_at,
            self.expires_on_inactivity,
            self.written_off,
        )

    def die(self, died_at: datetime) -> None:
        """Let inactivity have ended the lot's life, so that no later activity brings back what returns to it."""
        self.expires_at, self.expires_on_inactivity = died_at, False

    def expiry(self, inactive_at: datetime | None) -> datetime | None:
        """Return when the lot expires, given the account's inactivity deadline; None is never."""
        return inactive_at if self.expires_on_inactivity else self.expires_at


class Entry(NamedTuple):
    """One entry of the ledger, as stored."""

    customer_id: str
    seq: int
    kind: str
    points: int
    balance_after: int
    occurred_at: datetime
    recorded_at: datetime
    cause: str
    program_version: int
    actor: str
    note: str | None
    idempotency_key: str | None
    digest: bytes


@dataclass(slots=True)
class Grant:
    """What one rule gave. ``points`` may be 0: the rule applied, but the amount was too small."""

    rule_id: str
    #: The order's line that it was given for; None where it was given for the activity as a whole.
    line_id: str | None
    points: int
    #: The money that it was computed on, in minor units of the program's currency; 0 where none was.
    base_minor: int
    text: str
    #: The lot that the points went into; 0 is the award's first.
    lot_seq: int = 0
    #: How much each line of the order weighs in it; None where it was given for the activity as a whole.
    lines: dict[str, int] | None = None
    #: What caps and budgets took off, in the order in which they did.
    cuts: list[dict[str, Any]] | None = None
    #: Whether the points qualify for tiers.
    qualifies: bool = True

    def stored(self) -> dict[str, Any]:
        """Return it as it is kept with the activity: without what is as by default."""
        kept: dict[str, Any] = {
            "rule_id": self.rule_id,
            "line_id": self.line_id,
            "points": self.points,
            "base_minor": self.base_minor,
            "text": self.text,
        }
        if self.lot_seq:
            kept["lot_seq"] = self.lot_seq
        if self.lines is not None:
            kept["lines"] = self.lines
        if self.cuts:
            kept["cuts"] = self.cuts
        if not self.qualifies:
            kept["qualifies"] = False
        return kept


class Count(NamedTuple):
    """What a limit counts: points given, and how often."""

    points: int = 0
    times: int = 0


def add_count(counts: dict[Any, Count], key: Any, more: Count) -> None:
    """Add to one of ``counts``, which begins at nothing."""
    points, times = counts.get(key, _NOTHING)
    counts[key] = Count(points + more.points, times + more.times)


_NOTHING = Count()

#: What a count is of: ``rule:ID`` (given by a rule), ``seen:ID`` (met by an activity) or ``program``, and its period,
#: such as ``2026-11-22``, ``2026-W47``, ``2026-11``, ``2026`` or ``life``.
CountKey = tuple[str, str]


class Consumption(NamedTuple):
    """Points that ``entry_seq`` took from a lot (positive) or put back (negative); lot 0 is the deficit."""

    entry_seq: int
    lot_seq: int
    debit_seq: int
    points: int


@dataclass(slots=True)
class Redemption:
    """A redemption or hold."""

    redemption_seq: int
    status: str
    points: int
    captured: int
    reinstated: int
    redeem_seq: int | None
    value_minor: int
    currency: str
    order_id: str | None
    program_version: int
    hold_expires_at: datetime | None
    occurred_at: datetime
    resolved_at: datetime | None
    #: The tier by which its value was worked out.
    tier: str | None = None

    def copy(self) -> "Redemption":
        """Return an independent copy."""
        return Redemption(
            self.redemption_seq,
            self.status,
            self.points,
            self.captured,
            self.reinstated,
            self.redeem_seq,
            self.value_minor,
            self.currency,
            self.order_id,
            self.program_version,
            self.hold_expires_at,
            self.occurred_at,
            self.resolved_at,
            self.tier,
        )

    @property
    def debit_seq(self) -> int:
        """The entry whose consumptions hold the points: the capture's once captured, else the hold's."""
        return self.redemption_seq if self.redeem_seq is None else self.redeem_seq


@dataclass(slots=True)
class RecordedActivity:
    """An activity that was recorded, and what it was given. Only a reversal needs more than that it exists."""

    activity_key: str
    award_seq: int
    points: int
    program_version: int
    occurred_at: datetime
    body: dict[str, Any]
    grants: list[Grant]
    #: The counts that it went into, so that a refund can take it out of them again.
    counted: Sequence[CountKey] = ()
    #: What it counts to tiers, and the tier by which it was given points.
    qualifying_points: int = 0
    spend_minor: int = 0
    tier: str | None = None
    #: Whether its customer was held out of the program.
    held_out: bool = False

    def lot_seqs(self) -> list[int]:
        """Return the lots that its points went into, the first first."""
        return list(
            dict.fromkeys([self.award_seq, *(each.lot_seq or self.award_seq for each in self.grants)])
        )


@dataclass(slots=True)
class Reversal:
    """One refund of one order."""

    order_id: str
    refund_id: str
    reversal_seq: int
    amount_minor: int
    lines: dict[str, int]
    by_grant: list[int]
    is_full: bool
    clawed_back: int
    written_off: int
    reinstated: int
    occurred_at: datetime
    #: How many of the points that were taken back had counted to tiers.
    qualifying_points: int = 0


class Retraction(NamedTuple):
    """All that an activity was given, taken back; what no refund does of itself."""

    activity_key: str
    retraction_seq: int
    by_grant: list[int]
    clawed_back: int
    written_off: int
    occurred_at: datetime
    #: How many of these points had counted to tiers.
    qualifying_points: int = 0


class Assigned(NamedTuple):
    """An arm of an experiment that others than the lot have assigned."""

    experiment_id: str
    arm: str
    assigned_at: datetime
    source: str


class Remembered(NamedTuple):
    """The answer that an idempotency key gave."""

    input_hash: bytes
    status: int
    answer: str


@dataclass(slots=True)
class CustomerState:
    """Everything about one customer that the batch's commands need.

    ``lots`` is None where no command needs them: an award onto an account where nothing is due can be decided
    from the account alone. When loaded they are all open lots, and those that a reversal may refill.
    """

    account: Account
    exists: bool = True
    remembered: dict[str, Remembered] = field(default_factory=dict)
    activities: dict[str, RecordedActivity | None] = field(default_factory=dict)
    lots: dict[int, Lot] | None = None
    redemptions: dict[int, Redemption] = field(default_factory=dict)
    reversals: list[Reversal] = field(default_factory=list)
    #: Net points by lot of the debits that a command may undo: ``{debit_seq: {lot_seq: points}}``.
    consumed: dict[int, dict[int, int]] = field(default_factory=dict)
    #: What the limits of the rules count for this customer; what is missing is nothing yet.
    counts: dict[CountKey, Count] = field(default_factory=dict)
    #: What the budgets of rules, by rule, have given to all customers together. The batch's states share it.
    budgets: dict[str, Count] = field(default_factory=dict)
    #: How the customer was brought; None where nobody did, or where it does not matter.
    referral: Referral | None = None
    #: What an attribution looks at of other customers; None where no command has a code. The batch's states share it.
    referring: Referring | None = None
    #: Activities of which all was taken back, of those that matter.
    retracted: frozenset[str] = frozenset()
    #: All that counts to tiers; None where the standing on record will do.
    qualifying: Sequence[Qualifying] | None = None
    #: What was granted by hand, where ``qualifying`` is known.
    standing_grants: Sequence[StandingGrant] = ()


@dataclass(slots=True)
class Decision:
    """What one command brings about: rows to store, the state after, and what the caller is told."""

    outcome: dict[str, Any] | None = None
    refusal: Refusal | None = None
    after: CustomerState | None = None
    entries: list[Entry] = field(default_factory=list)
    new_lots: list[Lot] = field(default_factory=list)
    changed_lots: dict[int, Lot] = field(default_factory=dict)
    consumptions: list[Consumption] = field(default_factory=list)
    new_redemptions: list[Redemption] = field(default_factory=list)
    changed_redemptions: dict[int, Redemption] = field(default_factory=dict)
    new_activity: tuple[RecordedActivity, str] | None = None
    new_reversals: list[Reversal] = field(default_factory=list)
    #: When inactivity ended the life of all lots that there were; None where it did not.
    lots_died_at: datetime | None = None
    #: The customer's tags, where the decision sets them.
    tags: Sequence[str] | None = None
    #: What to add to the customer's counts, and to the budgets of rules.
    counts: dict[CountKey, Count] = field(default_factory=dict)
    budgets: dict[str, Count] = field(default_factory=dict)
    #: The customer's referral as it is from now on; None where nothing changed.
    referral: Referral | None = None
    #: Fingerprints that came with the activity, by kind.
    fingerprints: dict[str, str] = field(default_factory=dict)
    new_retraction: Retraction | None = None
    #: Whether the standing on the ladder is to be written, the moves that brought it about, and what did.
    is_standing_new: bool = False
    #: Whether the tier, the ladder, or when somebody is to look at it, is another one.
    is_place_new: bool = False
    is_member_since_new: bool = False
    #: An arm that the customer is assigned now.
    assigned: Assigned | None = None
    #: Whether nothing of the account but that is new.
    is_only_standing: bool = False
    moves: list[Move] = field(default_factory=list)
    moved_by: str = ""
    #: Rows of the outbox, without what the database adds.
    events: list[dict[str, Any]] = field(default_factory=list)
    new_grant: StandingGrant | None = None
    grant_reason: str = ""
    #: When the grants that there were are ended; None where they go on.
    grants_ended_at: datetime | None = None

    def spend(self, budgets: dict[str, Count]) -> None:
        """Add to the budgets that the states of a batch share what this decision gave of them."""
        for rule_id, count in self.budgets.items():
            add_count(budgets, rule_id, count)
