"""What others are told of standings: events for the outbox. Pure."""

from datetime import datetime, timedelta
from typing import Any

from rewards.core import ids
from rewards.ledger.standing_state import Move, Standing
from tiers.ladder import CompiledLadder, Timeline

EVENT = "evt"
EXPIRY_EVENT = "evtx"
#: Nobody is told of what happened longer ago, as where a shop's history is imported.
_NEWS = timedelta(days=3)


def event_of(
    timeline: Timeline, customer_id: str, standing: Standing, move: Move, now: datetime
) -> dict[str, Any] | None:
    """Return the event of a move, the last one on record; None where it is none, or none any more."""
    if (now - move.at > _NEWS and move.reason != "corrected") or (
        move.reason == "joined" and move.from_tier is None
    ):
        return None
    place = timeline.at(move.at)
    ladder = timeline.stretches[place].ladder
    compared = ladder
    if move.from_tier is not None and (ladder is None or move.from_tier not in ladder.place_of):
        # An edit took the tier out; how high it was is for the ladder before to say.
        compared = timeline.stretches[max(place - 1, 0)].ladder
    is_up = _place(compared, move.to_tier) > _place(compared, move.from_tier)
    payload = {
        "customer_id": customer_id,
        "from": _named(ladder, move.from_tier),
        "to": _named(ladder, move.to_tier),
        "at": move.at,
        "until": standing.until,
        "reason": move.reason,
    }
    return {
        "event_id": ids.encode(EVENT, customer_id, standing.moves),
        "customer_id": customer_id,
        "type": "tier.upgraded" if is_up else "tier.downgraded",
        "occurred_at": move.at,
        "payload": payload,
    }


def expiry_event(timeline: Timeline, customer_id: str, standing: Standing, lost: Move) -> dict[str, Any]:
    """Return the event of a standing that will be lost, with what is left then."""
    ladder = timeline.stretches[timeline.at(standing.at)].ladder
    payload = {
        "customer_id": customer_id,
        "tier": _named(ladder, standing.tier),
        "expires_at": lost.at,
        "then": _named(ladder, lost.to_tier),
    }
    return {
        "event_id": ids.encode(EXPIRY_EVENT, customer_id, int(lost.at.timestamp())),
        "customer_id": customer_id,
        "type": "tier.will-expire",
        "occurred_at": standing.at,
        "payload": payload,
    }


def _place(ladder: CompiledLadder | None, tier: str | None) -> int:
    return -1 if ladder is None or tier is None else ladder.place_of.get(tier, -1)


def _named(ladder: CompiledLadder | None, tier: str | None) -> dict[str, Any] | None:
    if tier is None:
        return None
    found = None if ladder is None else ladder.ladder.tier(tier)
    return {"id": tier, "name": tier if found is None else found.name}
