"""Taking what a customer wrote out of the facts, when it is taken out of the ledger."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.wire import TextArray
from rewards.facts.identities import work_out_again

_FROM_THE_LEDGER = text("""
UPDATE survey_answers AS s SET answers = coalesce(CAST(a.body -> 'answers' AS jsonb), '{}')
FROM activities AS a
WHERE s.customer_id = :customer_id AND s.source = 'activity'
  AND a.customer_id = s.customer_id AND a.activity_key = 'survey:' || s.survey_id""")

_IMPORTED = text("""
SELECT survey_id, answers FROM survey_answers WHERE customer_id = :customer_id AND source = 'import'""")

_REDACT = text("""
UPDATE survey_answers AS s SET answers = CAST(k.answers AS jsonb)
FROM unnest(:surveys, :answers) AS k (survey_id, answers)
WHERE s.customer_id = :customer_id AND s.source = 'import' AND s.survey_id = k.survey_id""")


def erase_answers(
    conn: Connection,
    customer_id: str,
    without_words: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Leave of a customer's answers what the ledger has left of them, and of imported ones what has no words.

    Args:
        conn: in the transaction in which the activities' bodies were redacted.
        customer_id: whose.
        without_words: makes of answers what may stay.
        actor: who erases.
        now: the present.
    """
    whose = {"customer_id": customer_id}
    conn.execute(_FROM_THE_LEDGER, whose)
    imported = conn.execute(_IMPORTED, whose).all()
    if imported:
        redacted = {
            "surveys": TextArray([row.survey_id for row in imported]),
            "answers": TextArray([to_json(without_words(row.answers)).decode() for row in imported]),
        }
        conn.execute(_REDACT, whose | redacted)
    # A run that is at work has read the words already and may store them after this.
    work_out_again(conn, customer_id, actor=actor, now=now)
