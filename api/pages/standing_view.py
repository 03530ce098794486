"""What pages show of a standing on the ladder, in words: no HTML, no database."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from rewards.core import wording
from tiers.progress import Goal, Outlook, Way

_REASONS = {
    "joined": "by joining",
    "earned": "by what was earned",
    "period-end": "by what was earned in the period before",
    "ended": "because the standing before it ended",
    "program": "when the program changed",
    "granted": "given by the shop",
    "grant-ended": "when the standing that was given ended",
    "corrected": "after an order was corrected or sent back",
}


@dataclass(frozen=True, slots=True)
class WayShown:
    """One way into a tier: a bar, where there is something to count, and a sentence."""

    have: int
    needed: int
    is_counted: bool
    text: str
    lapses: str


@dataclass(frozen=True, slots=True)
class GoalShown:
    """A tier to keep or to reach."""

    name: str
    heading: str
    joined_by: str
    ways: list[WayShown]
    is_met: bool


@dataclass(frozen=True, slots=True)
class PerkShown:
    """Something that the tier's customers have."""

    name: str
    description: str
    until: str


@dataclass(frozen=True, slots=True)
class StandingShown:
    """All that a page shows of a standing."""

    name: str
    since: datetime | None
    since_text: str
    until: datetime | None
    until_text: str
    reason: str
    raised: list[str]
    perks: list[PerkShown]
    keep: GoalShown | None
    reach: list[GoalShown]


def standing_shown(found: Outlook, currency: str) -> StandingShown:
    """Return what a page shows of a standing; days are those of the program's zone."""
    standing, tier = found.standing, found.tier
    keep = found.to_keep
    raised = []
    if tier is not None and tier.earn_multiplier_pct > 100:
        raised.append(f"{tier.earn_multiplier_pct / 100:g} times the usual points on orders")
    if tier is not None and tier.redemption_value_pct > 100:
        raised.append(f"Points pay {tier.redemption_value_pct - 100}% more")
    return StandingShown(
        name="No tier yet" if tier is None else tier.name,
        since=standing.since,
        since_text="" if standing.since is None else wording.day(_day(found, standing.since)),
        until=standing.until,
        until_text="" if standing.until is None else wording.day(_last_day(found, standing.until)),
        reason="" if found.reached_by is None else _REASONS.get(found.reached_by.reason, ""),
        raised=raised,
        perks=[
            PerkShown(
                perk.name,
                perk.description or "",
                ""
                if perk.active is None or perk.active.until is None
                else f"until {perk.active.until.replace('T', ', ')}",
            )
            for perk in found.perks
        ],
        keep=None if keep is None else _kept(found, keep, currency),
        reach=[_reached(found, goal, currency) for goal in found.to_reach],
    )


def _kept(found: Outlook, goal: Goal, currency: str) -> GoalShown:
    assert goal.by is not None
    last = wording.day(_last_day(found, goal.by))
    if goal.is_met:
        heading = f"Already enough to stay {goal.tier.name} after {last}"
    else:
        heading = f"To stay {goal.tier.name} after {last}"
    return _goal(found, goal, heading, currency)


def _reached(found: Outlook, goal: Goal, currency: str) -> GoalShown:
    return _goal(found, goal, f"To reach {goal.tier.name}", currency)


def _goal(found: Outlook, goal: Goal, heading: str, currency: str) -> GoalShown:
    joined_by = "" if len(goal.ways) < 2 else "one of" if goal.needs == "any" else "all of"
    ways = [_way(found, way, currency) for way in goal.ways]
    return GoalShown(goal.tier.name, heading, joined_by, ways, goal.is_met)


def _way(found: Outlook, way: Way, currency: str) -> WayShown:
    if way.measure == "condition":
        text = "a condition of the program" + (", which is met" if not way.remaining else "")
        return WayShown(way.have, way.needed, False, text, "")
    # A refund may take more out of a window than is in it.
    have, missing = (_amount(way.measure, max(each, 0), currency) for each in (way.have, way.remaining))
    text = f"{have} of {_amount(way.measure, way.needed, currency)} {_unit(way)}"
    text += f": {missing} to go" if way.remaining else ""
    lapses = ""
    if way.counts_until is not None and way.have > 0:
        last = wording.day(_last_day(found, way.counts_until))
        lapses = f"some of it counts only until {last}" if _is_rolling(found) else f"counts until {last}"
    return WayShown(max(way.have, 0), way.needed, True, text, lapses)


def _is_rolling(found: Outlook) -> bool:
    """Return whether what counts drops out little by little, not all of it when a period ends."""
    return found.ladder.ladder.window.type == "rolling"


def _amount(measure: str, amount: int, currency: str) -> str:
    return wording.money(amount, currency) if measure == "spend_minor" else wording.number(amount)


def _unit(way: Way) -> str:
    if way.measure == "spend_minor":
        return "spent"
    return way.measure.removesuffix("s") if way.needed == 1 else way.measure


def _day(found: Outlook, instant: datetime) -> date:
    return found.ladder.days.local(instant).date()


def _last_day(found: Outlook, instant: datetime) -> date:
    """Return the last day before an instant: what ends at midnight ends with the day before."""
    return found.ladder.days.local(instant - timedelta(microseconds=1)).date()
