"""The stored shape of the ledger and of what stands beside it.

Every hot table carries ``customer_id`` first in its primary key and nothing on the hot path joins two
customers, so that one customer's work never waits for another's (DESIGN §4). Points are signed integers,
money is integer minor units, instants are UTC. The classes are SQLModel for their declarations; the hot
path uses their ``__table__`` through SQLAlchemy Core.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlmodel import Field, SQLModel

from rewards.ledger.columns import customer_key, instant, one_of, points_column, seq_key, text_column

ENTRY_KINDS = ("award", "clawback", "redeem", "reinstate", "hold", "release", "adjust", "expire", "unexpire")
REDEMPTION_STATUSES = ("held", "captured", "voided", "expired", "reversed")
#: The number of the transaction that writes a row, which commits later, or not at all.
THE_TRANSACTION = "((pg_current_xact_id())::text)::bigint"


class AccountRow(SQLModel, table=True):
    """One customer's account: the one row that a write locks.

    All balances are a cache of the entries and lots, true at ``as_of`` and until ``next_change_at``,
    the earliest instant at which time alone may change one of them.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint(
            "available >= 0 AND pending >= 0 AND held >= 0 AND deficit >= 0", name="balances_not_negative"
        ),
        CheckConstraint("balance = available + pending - deficit", name="balance_adds_up"),
        Index(
            "ix_accounts_next_change_at",
            "next_change_at",
            postgresql_where=text("next_change_at IS NOT NULL"),
        ),
        Index(
            "ix_accounts_standing_due_at",
            "standing_due_at",
            postgresql_where=text("standing_due_at IS NOT NULL"),
        ),
        Index("ix_accounts_tier", "tier", "customer_id", postgresql_where=text("tier IS NOT NULL")),
        Index("ix_accounts_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
        Index("ix_accounts_tagged", "customer_id", postgresql_where=text("tags <> '{}'")),
        # Room for in-place (HOT) updates: an account is rewritten at each command.
        {"postgresql_with": {"fillfactor": "70"}},
    )

    customer_id: str = customer_key()
    seq: int = points_column(0)
    balance: int = points_column(0)
    available: int = points_column(0)
    pending: int = points_column(0)
    held: int = points_column(0)
    deficit: int = points_column(0)
    digest: bytes = Field(
        sa_column=Column(LargeBinary, nullable=False, server_default=text(r"'\x" + "00" * 32 + "'"))
    )
    as_of: datetime | None = instant(nullable=True)
    next_change_at: datetime | None = instant(nullable=True)
    last_activity_at: datetime | None = instant(nullable=True)
    inactive_at: datetime | None = instant(nullable=True)
    #: What conditions of rules ask: purchases not refunded whole, and what was spent on them, net of refunds.
    purchases: int = points_column(0)
    spent_minor: int = points_column(0)
    last_purchase_at: datetime | None = instant(nullable=True)
    joined_at: datetime | None = instant(nullable=True)
    tags: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False, server_default="{}"))
    #: The tier that the customer is in, and all that standing is worked out from next, as
    #: :meth:`rewards.ledger.standing_state.Standing.stored` has it; null before there is a ladder.
    tier: str | None = text_column(nullable=True)
    standing: list[Any] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    #: When time may next move the customer, or has something to be told.
    standing_due_at: datetime | None = instant(nullable=True)
    #: The version whose ladder the standing is of.
    ladder_version: int | None = Field(sa_column=Column(Integer, nullable=True))
    #: Since when the shop says that the customer is a member; null is since the first activity.
    member_since: datetime | None = instant(nullable=True)
    #: Arms of experiments that were assigned, as :func:`rewards.program.holdout.with_arm` writes them; null for most.
    arms: str | None = text_column(nullable=True)
    #: Whether the customer has a row in ``referrals``, so that nobody looks there for the many who have none.
    referred: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    created_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=func.now())
    )


class CommandRow(SQLModel, table=True):
    """An idempotency key that was claimed, what it was claimed for, and the answer it gave."""

    __tablename__ = "commands"
    __table_args__ = (
        CheckConstraint("status BETWEEN 200 AND 499", name="status_is_an_answer"),
        # For the admin pages, at next to no cost to awards: spans of time in them, and what is rare beside them.
        Index(
            "ix_commands_recorded_at",
            "recorded_at",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": "32", "autosummarize": "on"},
        ),
        Index("ix_commands_not_awards", "recorded_at", postgresql_where=text("kind <> 'award'")),
        Index("ix_commands_refused", "recorded_at", postgresql_where=text("status >= 400")),
        # For the roll-ups, which follow what was committed since they last looked.
        Index(
            "ix_commands_xact",
            "xact",
            postgresql_using="brin",
            postgresql_with={"pages_per_range": "32", "autosummarize": "on"},
        ),
    )

    customer_id: str = customer_key()
    idempotency_key: str = Field(sa_column=Column(String(255, collation="C"), primary_key=True))
    kind: str = text_column()
    input_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    answer: str = text_column()
    recorded_at: datetime = instant()
    #: The transaction that wrote it; 0 for those from before there was this column.
    xact: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text(THE_TRANSACTION)))


class ActivityRow(SQLModel, table=True):
    """What a customer did and what it was given: the facts that a reversal and a replay start from."""

    __tablename__ = "activities"
    __table_args__ = (CheckConstraint("points >= 0", name="points_not_negative"),)

    customer_id: str = customer_key()
    #: Unique name of the activity for this customer, such as ``purchase:1001``.
    activity_key: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    award_seq: int = points_column()
    points: int = points_column()
    program_version: int = Field(sa_column=Column(Integer, nullable=False))
    occurred_at: datetime = instant()
    # Plain JSON: these are kept as they came and read back whole, and building JSONB costs as much as the insert.
    #: The activity as it was sent.
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    #: What each rule gave, as :meth:`rewards.ledger.state.Grant.stored` has it.
    grants: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False))
    #: The counts that it went into, ``[[name, period]]``; null where none.
    counted: list[list[str]] | None = Field(sa_column=Column(JSON, nullable=True))
    #: What it counts to tiers: points of rules that do, and what was paid.
    qualifying_points: int = points_column(0)
    spend_minor: int = points_column(0)
    #: The tier by which it was given points; null where there was none.
    tier: str | None = text_column(nullable=True)
    #: Whether its customer was held out of the program, so that it earned nothing and counts to no tier.
    held_out: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))


class CountRow(SQLModel, table=True):
    """What a limit of a rule or of the program has counted for a customer in one period."""

    __tablename__ = "counts"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    customer_id: str = customer_key()
    #: ``rule:ID``, ``seen:ID`` or ``program``.
    name: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    #: ``2026-11-22``, ``2026-W47``, ``2026-11``, ``2026`` or ``life``.
    period: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    points: int = points_column(0)
    times: int = points_column(0)


class BudgetRow(SQLModel, table=True):
    """What a rule with a budget has given to all customers together; the one thing that they share.

    It is locked after the accounts, and only by batches in which the rule may apply.
    """

    __tablename__ = "budgets"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    rule_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    points: int = points_column(0)
    times: int = points_column(0)


class EntryRow(SQLModel, table=True):
    """One transfer of points between a customer and the contra account that ``kind`` names."""

    __tablename__ = "entries"
    __table_args__ = (
        CheckConstraint(one_of("kind", ENTRY_KINDS), name="kind_is_known"),
        CheckConstraint("seq >= 1", name="seq_starts_at_one"),
        CheckConstraint(
            "(points >= 0 AND kind IN ('award', 'reinstate', 'release', 'unexpire', 'adjust'))"
            " OR (points <= 0 AND kind IN ('clawback', 'redeem', 'hold', 'expire', 'adjust'))",
            name="sign_fits_kind",
        ),
        CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
    )

    customer_id: str = customer_key()
    seq: int = seq_key()
    kind: str = text_column()
    points: int = points_column()
    balance_after: int = points_column()
    occurred_at: datetime = instant()
    recorded_at: datetime = instant()
    #: What caused it: an activity key, ``redemption:SEQ``, ``refund:ORDER:REFUND``, ``lot:SEQ`` or ``adjustment``.
    cause: str = text_column()
    program_version: int = Field(sa_column=Column(Integer, nullable=False))
    actor: str = text_column()
    note: str | None = text_column(nullable=True)
    #: The key of the command that wrote it; null where time did.
    idempotency_key: str | None = text_column(nullable=True)
    digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LotRow(SQLModel, table=True):
    """A credit with what is left of it. ``lot_seq`` is the seq of the entry that created it."""

    __tablename__ = "lots"
    __table_args__ = (
        CheckConstraint("remaining >= 0", name="remaining_not_negative"),
        CheckConstraint("expired >= 0", name="expired_not_negative"),
        CheckConstraint("written_off >= 0", name="written_off_not_negative"),
        CheckConstraint("remaining + expired <= points", name="remaining_within_points"),
        Index("ix_lots_open", "customer_id", postgresql_where=text("remaining > 0")),
        {"postgresql_with": {"fillfactor": "85"}},
    )

    customer_id: str = customer_key()
    lot_seq: int = seq_key()
    points: int = points_column()
    remaining: int = points_column()
    expired: int = points_column(0)
    #: What a refund could not take because it was spent or on hold; taken when it comes back.
    written_off: int = points_column(0)
    available_at: datetime = instant()
    expires_at: datetime | None = instant(nullable=True)
    #: True where the account's ``inactive_at`` is this lot's expiry.
    expires_on_inactivity: bool = Field(
        sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )


class ConsumptionRow(SQLModel, table=True):
    """Points that an entry took from a lot (positive) or put back (negative); lot 0 is the deficit."""

    __tablename__ = "consumptions"
    __table_args__ = (
        CheckConstraint("points <> 0", name="points_not_zero"),
        Index("ix_consumptions_debit", "customer_id", "debit_seq"),
    )

    customer_id: str = customer_key()
    entry_seq: int = seq_key()
    lot_seq: int = seq_key()
    #: The debit that the row belongs to: the entry itself, or the one that a credit undoes.
    debit_seq: int = seq_key()
    points: int = points_column()


class RedemptionRow(SQLModel, table=True):
    """A redemption or hold, from being placed to being resolved once."""

    __tablename__ = "redemptions"
    __table_args__ = (
        CheckConstraint(one_of("status", REDEMPTION_STATUSES), name="status_is_known"),
        CheckConstraint("points > 0", name="points_positive"),
        CheckConstraint("captured >= 0 AND captured <= points", name="captured_within_points"),
        CheckConstraint("reinstated >= 0 AND reinstated <= captured", name="reinstated_within_captured"),
        Index(
            "ix_redemptions_order", "customer_id", "order_id", postgresql_where=text("order_id IS NOT NULL")
        ),
        Index("ix_redemptions_held", "customer_id", postgresql_where=text("status = 'held'")),
        Index("ix_redemptions_due", "hold_expires_at", postgresql_where=text("status = 'held'")),
    )

    customer_id: str = customer_key()
    #: The seq of the entry that placed it (``redeem`` or ``hold``).
    redemption_seq: int = seq_key()
    status: str = text_column()
    #: Points asked for; ``captured`` of them were spent, ``reinstated`` of those came back.
    points: int = points_column()
    captured: int = points_column(0)
    reinstated: int = points_column(0)
    #: The entry whose consumptions hold the spent points: the ``redeem`` entry, null while held.
    redeem_seq: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    value_minor: int = Field(sa_column=Column(BigInteger, nullable=False))
    currency: str = text_column()
    order_id: str | None = text_column(nullable=True)
    program_version: int = Field(sa_column=Column(Integer, nullable=False))
    hold_expires_at: datetime | None = instant(nullable=True)
    occurred_at: datetime = instant()
    resolved_at: datetime | None = instant(nullable=True)
    #: The tier by which its value was worked out; null where there was none.
    tier: str | None = text_column(nullable=True)


class ReversalRow(SQLModel, table=True):
    """One refund of one order: how much of it, and what that took back and gave back."""

    __tablename__ = "reversals"
    __table_args__ = (
        CheckConstraint(
            "amount_minor >= 0 AND clawed_back >= 0 AND written_off >= 0 AND reinstated >= 0",
            name="not_negative",
        ),
    )

    customer_id: str = customer_key()
    order_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    refund_id: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    reversal_seq: int = points_column()
    amount_minor: int = points_column()
    #: Refunded so far by line: ``{"line_id": amount_minor}`` of this refund.
    lines: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))
    #: What was taken back from each grant, in the order of the award's grants.
    by_grant: list[int] = Field(sa_column=Column(JSONB, nullable=False))
    is_full: bool = Field(sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    clawed_back: int = points_column()
    #: Points that a clamped balance let the customer keep.
    written_off: int = points_column()
    reinstated: int = points_column()
    occurred_at: datetime = instant()
    recorded_at: datetime = instant()
    #: How many of the points that were taken back had counted to tiers.
    qualifying_points: int = points_column(0)


class ProgramVersionRow(SQLModel, table=True):
    """One published version of the program document; appended, never edited."""

    __tablename__ = "program_versions"
    __table_args__ = (CheckConstraint("version >= 1", name="version_starts_at_one"),)

    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    document: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    effective_from: datetime = instant()
    published_at: datetime = instant()
    published_by: str = text_column()
    note: str | None = text_column(nullable=True)


class ApiKeyRow(SQLModel, table=True):
    """An API key, kept only as a hash."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("scope IN ('storefront', 'admin', 'readonly')", name="scope_is_known"),)

    key_id: str = Field(sa_column=Column(String(32), primary_key=True))
    name: str = text_column()
    scope: str = text_column()
    secret_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = instant()
    revoked_at: datetime | None = instant(nullable=True)


class JobRunRow(SQLModel, table=True):
    """When each scheduled job last ran, and how it went."""

    __tablename__ = "job_runs"

    name: str = Field(sa_column=Column(Text, primary_key=True))
    due_at: datetime = instant()
    started_at: datetime = instant()
    finished_at: datetime | None = instant(nullable=True)
    ok: bool | None = Field(sa_column=Column(Boolean, nullable=True))
    detail: str | None = text_column(nullable=True)


#: Tables whose rows are never changed or removed; the database refuses UPDATE, DELETE and TRUNCATE on them.
APPEND_ONLY = (
    "entries",
    "consumptions",
    "activities",
    "reversals",
    "retractions",
    "moves",
    "erasures",
    "commands",
    "program_versions",
)
