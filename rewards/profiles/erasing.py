"""Erasure: what is personal of a customer goes, and the ledger, which is not, stays whole.

Entries, lots and redemptions hold points under the shop's own id and stay, so that the books balance and every
digest still fits. Gone are the profile, the tags, the fingerprints, the code for friends, links to the page, and
in the bodies of activities the words: comments, answers and attributes in text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.errors import BusyError, CustomerNotFound
from rewards.core.wire import TextArray
from rewards.decide.commands import Tag
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.facts.erasing import erase_answers
from rewards.facts.tables import EXCLUDED_TAGS
from rewards.profiles.profile import words_gone
from rewards.program.history import ProgramHistory
from rewards.program.surveys import ChoiceQuestion
from rewards.program.versions import load_history


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased: whether there was a profile, fingerprints that went, and activities that lost words."""

    erased_at: datetime
    profile: bool
    fingerprints: int
    activities: int


# The same lock as a command takes, so that none writes back what goes here.
_LOCK = text("SELECT customer_id FROM accounts WHERE customer_id = :customer_id FOR NO KEY UPDATE")

_EMPTY = text("""
INSERT INTO profiles AS p (customer_id, updated_at, erased_at, links_void_until)
VALUES (:customer_id, :now, :now, :void_until)
ON CONFLICT (customer_id) DO UPDATE SET email = NULL, name = NULL, birthday = NULL, joined_at = NULL,
    attributes = '{}', email_key = NULL, name_key = NULL, surname_key = NULL, updated_at = :now, erased_at = :now,
    links_void_until = :void_until
RETURNING xmax <> 0 AS was_there""")

_RECORD = text("""
INSERT INTO erasures (customer_id, erased_at, actor) VALUES (:customer_id, :now, :actor) ON CONFLICT DO NOTHING""")

_FORGET = text("DELETE FROM fingerprints WHERE customer_id = :customer_id")
_FORGET_CODE = text("DELETE FROM referral_codes WHERE customer_id = :customer_id")
_FORGET_SEEN = text("""
UPDATE referrals SET fingerprints = '{}' WHERE customer_id = :customer_id AND fingerprints <> '{}'""")

_BODIES = text("""
SELECT activity_key, occurred_at, program_version, body FROM activities
WHERE customer_id = :customer_id AND activity_key > :after ORDER BY activity_key LIMIT :most""")

_REDACT = text("""
UPDATE activities AS a SET body = CAST(k.body AS json)
FROM unnest(:names, :bodies) AS k (activity_key, body)
WHERE a.customer_id = :customer_id AND a.activity_key = k.activity_key""")

#: So many bodies are in memory at once.
_PAGE = 1_000


def erase(database: Database, engine: Engine, customer_id: str, actor: str, now: datetime) -> Erased:
    """Erase what is personal of a customer; doing it again does no harm.

    Raises:
        CustomerNotFound: nothing is known of such a customer.
        BusyError: the database does not answer; nothing, or only the tags, went.
    """
    if _is_customer(database, customer_id):
        # Tags are part of what decisions are made from, so they go the way in which they came.
        untag = Submission(
            Tag(customer_id=customer_id, tags=_kept_tags(database, customer_id)),
            None,
            actor,
            remember_refusal=False,
        )
        if engine.execute([untag], now)[0].status >= 500:
            raise BusyError("The customer's tags could not be taken away; try again.")
    life = timedelta(days=database.settings.link_life_days)
    with database.engine.begin() as conn:
        conn.execute(_LOCK, {"customer_id": customer_id})
        whose = {"customer_id": customer_id}
        about = whose | {"now": now, "actor": actor, "void_until": now + life}
        was_there = conn.execute(_EMPTY, about).scalar_one()
        conn.execute(_RECORD, about)
        fingerprints = conn.execute(_FORGET, whose).rowcount
        conn.execute(_FORGET_CODE, whose)
        conn.execute(_FORGET_SEEN, whose)
        activities = _take_out_words(conn, customer_id)
        erase_answers(conn, customer_id, _answers_without_words, actor=actor, now=now)
    return Erased(now, bool(was_there), fingerprints, activities)


def _answers_without_words(answers: dict[str, Any]) -> dict[str, Any]:
    # Of an imported survey nobody knows which answers were chosen from a list.
    left: dict[str, Any] = words_gone({"answers": answers}, frozenset())["answers"]
    return left


def _kept_tags(database: Database, customer_id: str) -> list[str]:
    """Return the tags that say of an account only that it is none of a customer's: without them it would be counted."""
    tags = text("SELECT tags FROM accounts WHERE customer_id = :customer_id")
    with database.engine.connect() as conn:
        found = conn.execute(tags, {"customer_id": customer_id}).scalar_one_or_none()
    return [tag for tag in found or () if tag in EXCLUDED_TAGS]


def _is_customer(database: Database, customer_id: str) -> bool:
    known = text("""
        SELECT EXISTS (SELECT FROM accounts WHERE customer_id = :customer_id) AS has_account,
               EXISTS (SELECT FROM profiles WHERE customer_id = :customer_id)
               OR EXISTS (SELECT FROM survey_answers WHERE customer_id = :customer_id)
               OR EXISTS (SELECT FROM assignments WHERE customer_id = :customer_id) AS is_known""")
    with database.engine.connect() as conn:
        found = conn.execute(known, {"customer_id": customer_id}).one()
    if not found.has_account and not found.is_known:
        raise CustomerNotFound(f"There is no customer {customer_id!r}; there is nothing to erase.")
    return bool(found.has_account)


def _take_out_words(conn: Connection, customer_id: str) -> int:
    """Redact the bodies of a customer's activities, and return how many there were to redact."""
    programs = load_history(conn)
    count, after = 0, ""
    while True:
        page = {"customer_id": customer_id, "after": after, "most": _PAGE}
        rows = conn.execute(_BODIES, page).all()
        if not rows:
            return count
        after = rows[-1].activity_key
        gone = [(row.activity_key, words_gone(row.body, _chosen(programs, row))) for row in rows]
        changed = [
            (key, to_json(body).decode())
            for (key, body), row in zip(gone, rows, strict=True)
            if body != row.body
        ]
        if changed:
            names, bodies = zip(*changed, strict=True)
            redacted = {"customer_id": customer_id, "names": TextArray(names), "bodies": TextArray(bodies)}
            conn.execute(_REDACT, redacted)
            count += len(changed)


def _chosen(programs: ProgramHistory, row: Any) -> frozenset[str]:
    """Return the questions of a survey whose answers were chosen from a list that the shop made."""
    survey_id = row.body.get("survey_id")
    surveys: Iterable[Any] = programs.by_version(row.program_version).document.surveys if survey_id else ()
    survey = next((each for each in surveys if each.id == survey_id), None)
    if survey is None:
        return frozenset()
    return frozenset(question.id for question in survey.asked if isinstance(question, ChoiceQuestion))
