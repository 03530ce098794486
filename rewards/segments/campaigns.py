"""Campaigns: customers of a segment are drawn by lot, once each; those drawn for the offer get it, the others do not.

Each step is on record before the next is taken, so that a run that is cut short goes on where it stopped: drawn in both
arms at the same moment (which is their exposure, so that the effect compares like with like), then offered by the
engine, then ended. The offer is a tag on the customer's account, which the campaign's rules ask for.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.decide.commands import EndOffer, Offer
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.program.document import ProgramDocument
from rewards.program.holdout import Arm, Experiment, arm_in, arm_of, experiment_of
from rewards.program.rules import parse_local_moment
from rewards.program.segments import Campaign

ACTOR = "job:segments"
_AT_ONCE = 1_000

_TO_DRAW = text("""
SELECT m.customer_id, least(a.joined_at, a.member_since) AS joined_at, a.arms
FROM segment_members AS m JOIN accounts AS a ON a.customer_id = m.customer_id
WHERE m.segment_id = :segment_id AND m.customer_id > :after
  AND NOT EXISTS (SELECT FROM campaign_customers AS c
                  WHERE c.customer_id = m.customer_id AND c.campaign_id = :campaign_id)
  AND NOT EXISTS (SELECT FROM profiles AS p WHERE p.customer_id = m.customer_id AND p.erased_at IS NOT NULL)
ORDER BY m.customer_id LIMIT :most""")
_DRAW = text("""
INSERT INTO campaign_customers (customer_id, campaign_id, arm, drawn_at, offered_until, state)
SELECT r.customer_id, :campaign_id, r.arm, :now, :until, CASE r.arm WHEN 'program' THEN 'drawn' ELSE 'offered' END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (customer_id text, arm text)
ON CONFLICT DO NOTHING""")
_EXPOSE = text("""
INSERT INTO exposures (experiment_id, customer_id, arm, exposed_at, source)
SELECT :campaign_id, r.customer_id, r.arm, :now, 'campaign'
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (customer_id text, arm text)
ON CONFLICT DO NOTHING""")
_WAITING = text("""
SELECT customer_id, campaign_id, offered_until FROM campaign_customers
WHERE arm = 'program' AND state = 'drawn' AND (customer_id, campaign_id) > (:after, :campaign)
ORDER BY customer_id, campaign_id LIMIT :most""")
_OVER = text("""
SELECT customer_id, campaign_id, offered_until FROM campaign_customers
WHERE arm = 'program' AND state = 'offered' AND offered_until <= :now
  AND (customer_id, campaign_id) > (:after, :campaign)
ORDER BY customer_id, campaign_id LIMIT :most""")
_NOTE = text("""
UPDATE campaign_customers AS c SET state = :state
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (customer_id text, campaign_id text)
WHERE c.customer_id = r.customer_id AND c.campaign_id = r.campaign_id""")
_COUNTS = text("""
SELECT campaign_id, arm, count(*) AS customers, min(drawn_at) AS first_at, max(drawn_at) AS last_at
FROM campaign_customers GROUP BY 1, 2""")


@dataclass(slots=True)
class Ran:
    """What a run did: customers drawn, offers made, offers ended, and commands that the engine could not execute."""

    drawn: int = 0
    offered: int = 0
    ended: int = 0
    failed: int = 0


def status_of(
    campaign: Campaign, document: ProgramDocument, now: datetime
) -> Literal["coming", "running", "over"]:
    """Tell whether a campaign draws customers at ``now``, will, or did."""
    local = now.astimezone(document.zone).replace(tzinfo=None)
    if local < parse_local_moment(campaign.from_):
        return "coming"
    is_over = campaign.until is not None and local >= parse_local_moment(campaign.until)
    return "over" if is_over else "running"


def run_campaigns(
    database: Database, document: ProgramDocument, now: datetime, progress: Progress = unheard
) -> Ran:
    """Draw, offer and end all that is due at ``now``."""
    ran, engine = Ran(), Engine(database)
    for campaign in document.campaigns:
        if status_of(campaign, document, now) == "running":
            ran.drawn += _draw_all(database, campaign, document, now)
            progress("campaigns", ran.drawn, None)
    for rows in _pages(database, _WAITING, now):
        done = _execute(engine, [_offer(row) for row in rows], rows, now, ran)
        _note(database, done, "offered")
        ran.offered += len(done)
    for rows in _pages(database, _OVER, now):
        done = _execute(engine, [_end(row) for row in rows], rows, now, ran)
        _note(database, done, "ended")
        ran.ended += len(done)
    return ran


def _draw_all(database: Database, campaign: Campaign, document: ProgramDocument, now: datetime) -> int:
    drawn, after = 0, ""
    until = now + timedelta(days=campaign.offer_days)
    holdout = None if document.holdout is None else experiment_of(document.holdout, document.zone)
    while True:
        with database.engine.begin() as conn:
            given = {"segment_id": campaign.segment, "campaign_id": campaign.id, "after": after}
            customers = conn.execute(_TO_DRAW, {**given, "most": _AT_ONCE}).all()
            if not customers:
                return drawn
            after = customers[-1].customer_id
            lots = [
                {"customer_id": each.customer_id, "arm": _lot(campaign, each.customer_id)}
                for each in customers
                if not _is_held_out(holdout, each, now)
            ]
            rows = to_json(lots).decode()
            conn.execute(_DRAW, {"campaign_id": campaign.id, "now": now, "until": until, "rows": rows})
            conn.execute(_EXPOSE, {"campaign_id": campaign.id, "now": now, "rows": rows})
            drawn += len(lots)


def _lot(campaign: Campaign, customer_id: str) -> Arm:
    return arm_of(campaign.salt, customer_id, campaign.holdout_pct)


def _is_held_out(holdout: Experiment | None, customer: Any, now: datetime) -> bool:
    """Tell whether a customer is held out of the whole program, and so belongs to neither arm of a campaign."""
    if holdout is None or not holdout.is_on(now):
        return False
    return arm_in(holdout, customer.customer_id, customer.joined_at, customer.arms, now) == "holdout"


def _pages(database: Database, statement: Any, now: datetime) -> Iterator[Sequence[Any]]:
    after, campaign = "", ""
    while True:
        with database.engine.connect() as conn:
            rows = conn.execute(
                statement, {"now": now, "after": after, "campaign": campaign, "most": _AT_ONCE}
            ).all()
        if not rows:
            return
        yield rows
        after, campaign = rows[-1].customer_id, rows[-1].campaign_id


def _offer(row: Any) -> Offer:
    return Offer(customer_id=row.customer_id, campaign_id=row.campaign_id, until=row.offered_until)


def _end(row: Any) -> EndOffer:
    return EndOffer(customer_id=row.customer_id, campaign_id=row.campaign_id)


def _execute(
    engine: Engine, commands: Sequence[Offer | EndOffer], rows: Sequence[Any], now: datetime, ran: Ran
) -> list[dict[str, str]]:
    """Execute commands and return which of ``rows`` are done."""
    answers = engine.execute(
        [Submission(command, None, ACTOR, remember_refusal=False) for command in commands], now
    )
    done = []
    for row, answer in zip(rows, answers, strict=True):
        if answer.status < 300:
            done.append({"customer_id": row.customer_id, "campaign_id": row.campaign_id})
        else:
            ran.failed += 1
    return done


def _note(database: Database, done: Sequence[Mapping[str, str]], state: str) -> None:
    if done:
        with database.engine.begin() as conn:
            conn.execute(_NOTE, {"rows": json.dumps(done), "state": state})


def campaigns_told(conn: Connection, document: ProgramDocument, now: datetime) -> dict[str, Any]:
    """Return the campaigns of a program with their state, and how many customers each has drawn for either arm."""
    counts = {(row.campaign_id, row.arm): row for row in conn.execute(_COUNTS)}
    told = []
    for campaign in document.campaigns:
        arms = [counts[campaign.id, arm] for arm in ("program", "holdout") if (campaign.id, arm) in counts]
        by_arm = {row.arm: row.customers for row in arms}
        told.append(
            {
                "id": campaign.id,
                "name": campaign.name,
                "segment": campaign.segment,
                "status": status_of(campaign, document, now),
                "offered": by_arm.get("program", 0),
                "held_out": by_arm.get("holdout", 0),
                "first_at": min((row.first_at for row in arms), default=None),
                "last_at": max((row.last_at for row in arms), default=None),
            }
        )
    return {"campaigns": told}
