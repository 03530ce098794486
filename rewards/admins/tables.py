"""The stored shape of admins: logins, sessions, failed attempts, and the log of what admins did."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from rewards.admins.roles import ROLES
from rewards.ledger.columns import instant, one_of, text_column


class AdminRow(SQLModel, table=True):
    """A person who may sign in. One who may no longer is disabled and never removed: the audit log names them."""

    __tablename__ = "admins"
    __table_args__ = (
        CheckConstraint(one_of("role", ROLES), name="role_is_known"),
        Index("uq_admins_email", "email", unique=True),
    )

    admin_id: str = Field(sa_column=Column(String(32, collation="C"), primary_key=True))
    #: In small letters, as everybody writes it at some time.
    email: str = text_column()
    name: str = text_column()
    role: str = text_column()
    #: Argon2id, with its parameters in it.
    password_hash: str = text_column()
    #: Somebody else has seen the password, so that it is only good for choosing another.
    password_is_temporary: bool = Field(
        sa_column=Column(Boolean, nullable=False, server_default=text("false"))
    )
    created_at: datetime = instant()
    password_changed_at: datetime = instant()
    signed_in_at: datetime | None = instant(nullable=True)
    disabled_at: datetime | None = instant(nullable=True)


class AdminSessionRow(SQLModel, table=True):
    """A browser that is signed in. Its secret is in the browser's cookie; here is only the hash."""

    __tablename__ = "admin_sessions"
    __table_args__ = (Index("ix_admin_sessions_admin_id", "admin_id"),)

    token_hash: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    admin_id: str = Field(
        sa_column=Column(
            String(32, collation="C"),
            ForeignKey("admins.admin_id", name="fk_admin_sessions_admin_id"),
            nullable=False,
        )
    )
    began_at: datetime = instant()
    seen_at: datetime = instant()


class AdminAttemptRow(SQLModel, table=True):
    """Failed sign-ins for an e-mail address or from a network address, which is named by a hash."""

    __tablename__ = "admin_attempts"

    subject: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    failures: int = Field(sa_column=Column(Integer, nullable=False))
    failed_at: datetime = instant()
    locked_until: datetime | None = instant(nullable=True)


class LedgerCheckRow(SQLModel, table=True):
    """A verification of the ledger that an admin asked for: how far it is, and what it found."""

    __tablename__ = "ledger_checks"

    check_id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    started_at: datetime = instant()
    #: When it last said how far it is; one that has long been silent was cut short.
    seen_at: datetime = instant()
    finished_at: datetime | None = instant(nullable=True)
    customers_done: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    customers_total: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    #: As :meth:`rewards.ledger.verification.Report.as_json` has it; with few of the breaks, and their number.
    report: dict[str, Any] | None = Field(sa_column=Column(JSONB(none_as_null=True), nullable=True))
    #: Why it ended without a report.
    failure: str | None = text_column(nullable=True)


class AuditRow(SQLModel, table=True):
    """What an admin did. Appended, never edited."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_admin_id", "admin_id", "audit_id"),
        Index("ix_audit_log_action", "action", "audit_id"),
        Index("ix_audit_log_subject", "subject", "audit_id"),
        Index("ix_audit_log_at", "at"),
    )

    audit_id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    at: datetime = instant()
    #: Null where nobody was signed in: a command on the server, or a sign-in that failed.
    admin_id: str | None = Field(sa_column=Column(String(32, collation="C"), nullable=True))
    #: How the admin was called then.
    who: str = text_column()
    action: str = text_column()
    #: What it was done to, such as ``customer:c-1``; null where that is the program as a whole.
    subject: str | None = Field(sa_column=Column(Text(collation="C"), nullable=True))
    detail: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
