"""What a valid document still says wrongly: conditions that cannot be used, and rules that cannot do what they say.

Checked when a document is read from an admin, not when a published version is loaded: it takes time, and what is
published stays as it is.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError

from rewards.program.conditions import ConditionInvalid, Scope, check, never_true
from rewards.program.document import ProgramDocument
from rewards.program.rules import AtLeast, EarnRule, Fixed, Window, parse_local_moment
from rewards.program.segments import condition_of

Path = tuple[str | int, ...]


class Remark(NamedTuple):
    """Something to say about the document, and where."""

    path: Path
    message: str


#: Kinds of activity of which a customer has one at most.
_ONCE = ("signup",)
_LONGEST_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def problems(document: ProgramDocument) -> Iterator[Remark]:
    """Yield what makes the document unusable: conditions that CEL does not take."""
    for index, rule in enumerate(document.earn):
        yield from _problems_of(index, rule)
    for index, segment in enumerate(document.segments):
        yield from _problem(("segments", index, "when"), segment.when, "segment", None)
    for place, tier in enumerate(document.ladder.tiers if document.ladder is not None else ()):
        for index, way in enumerate(tier.ways_in):
            if way.when is not None:
                at: Path = ("ladder", "tiers", place, "ways_in", index, "when")
                yield from _problem(at, way.when, "ladder", None)


def _problems_of(index: int, rule: EarnRule) -> Iterator[Remark]:
    if rule.when is not None:
        yield from _problem(("earn", index, "when"), rule.when, "activity", rule.activity)
    items = getattr(rule.gives, "items", None)
    if items is not None:
        yield from _problem(("earn", index, "gives", "items"), items, "item", None)


def problems_of_rules(data: Any) -> Iterator[Remark]:
    """Yield the same of plain data that is no valid document: of each of its rules that is valid by itself."""
    rules = data.get("earn") if isinstance(data, dict) else None
    for index, each in enumerate(rules if isinstance(rules, list) else []):
        try:
            rule = EarnRule.model_validate(each)
        except ValidationError:
            continue
        yield from _problems_of(index, rule)


def _problem(path: Path, condition: str, scope: Scope, activity: str | None) -> Iterator[Remark]:
    try:
        check(condition, scope, activity)
    except ConditionInvalid as error:
        place = f" (at character {error.offset + 1})" if error.offset else ""
        yield Remark(path, f"{error.message}{place}")


def cautions(document: ProgramDocument, now: datetime) -> Iterator[Remark]:
    """Yield what is allowed but hardly meant: rules that never apply, limits that no award fits, points out of reach.

    Args:
        document: a document without :func:`problems`.
        now: the present; dates that have passed by then are remarked on.
    """
    for index, rule in enumerate(document.earn):
        at: Path = ("earn", index)
        yield from _never_met(at, rule)
        yield from _over(at, rule, document, now)
        yield from _never_its_turn(at, rule)
        yield from _cut_each_time(at, rule, document)
    yield from _overruled(document)
    yield from _out_of_reach(document)
    yield from _nobody(document, now)
    yield from _unmeasured(document)


def _unmeasured(document: ProgramDocument) -> Iterator[Remark]:
    """Remark on a program that gives something and says neither how it is measured nor why it is not."""
    if document.earn and document.holdout is None and document.no_holdout is None:
        yield Remark(
            ("holdout",),
            "nobody is held out, so what the program changes cannot be measured; `rewards program holdout` works out "
            "how large a share it takes. Where that is meant, say why in `no_holdout`",
        )


def _nobody(document: ProgramDocument, now: datetime) -> Iterator[Remark]:
    """Remark on segments that nobody can be in, and on campaigns that are over or compare with nobody."""
    for index, segment in enumerate(document.segments):
        why = never_true(segment.when, "segment")
        if why is not None:
            yield Remark(("segments", index, "when"), f"nobody is ever in this segment: {why}")
    local = now.astimezone(document.zone).replace(tzinfo=None)
    for index, campaign in enumerate(document.campaigns):
        if campaign.holdout_pct == 0:
            yield Remark(
                ("campaigns", index, "holdout_pct"),
                "everybody gets the offer, so what it changes can never be told; hold a part of them out",
            )
        if campaign.until is not None and parse_local_moment(campaign.until) <= local:
            yield Remark(("campaigns", index, "until"), "the campaign is over")


def _never_met(at: Path, rule: EarnRule) -> Iterator[Remark]:
    if rule.when is not None:
        why = never_true(rule.when, "activity", rule.activity)
        if why is not None:
            yield Remark((*at, "when"), f"the rule never applies: {why}")
    items = getattr(rule.gives, "items", None)
    if items is not None:
        why = never_true(items, "item")
        if why is not None:
            yield Remark((*at, "gives", "items"), f"no line ever counts: {why}")


def _over(at: Path, rule: EarnRule, document: ProgramDocument, now: datetime) -> Iterator[Remark]:
    if rule.active is not None and rule.active.until is not None:
        local = now.astimezone(document.zone).replace(tzinfo=None)
        if parse_local_moment(rule.active.until) <= local:
            yield Remark(
                (*at, "active", "until"),
                "the rule's time is over; it applies only to activities that are sent late",
            )
    if rule.windows and not any(map(_has_a_day, rule.windows)):
        yield Remark((*at, "windows"), "no month has such a day; the rule never applies")


def _has_a_day(window: Window) -> bool:
    days = window.month_days or (1,)
    months = window.months or range(1, 13)
    return any(abs(day) <= _LONGEST_MONTHS.get(month, 31) for month in months for day in days)


def _never_its_turn(at: Path, rule: EarnRule) -> Iterator[Remark]:
    if rule.activity in _ONCE and rule.occurrences is not None and rule.occurrences.every is not None:
        yield Remark(
            (*at, "occurrences", "every"),
            f"a customer has one {rule.activity} at most, so time {rule.occurrences.every} never comes",
        )


def _cut_each_time(at: Path, rule: EarnRule, document: ProgramDocument) -> Iterator[Remark]:
    if not isinstance(rule.gives, Fixed | AtLeast):
        return
    points = rule.gives.points
    limits = [((*at, "caps", index), cap.points, cap.then) for index, cap in enumerate(rule.caps)]
    limits += [(("caps", index), cap.points, cap.then) for index, cap in enumerate(document.caps)]
    if rule.budget is not None:
        limits.append(((*at, "budget"), rule.budget.points, rule.budget.then))
    for path, most, then in limits:
        if most is None or most >= points:
            continue
        of = f"rule {rule.id!r} gives {points} points at once and this lets {most} through"
        yield Remark(path, f"{of}: it never gives any" if then == "refuse" else f"{of}: it is cut each time")


def _overruled(document: ProgramDocument) -> Iterator[Remark]:
    """Remark on rules that an exclusive one, which always applies, never lets come to their turn."""
    always: dict[str, EarnRule] = {}
    for rule in document.earn:
        is_always = (
            condition_of(rule, document.segments) is None
            and rule.active is None
            and not rule.windows
            and rule.occurrences is None
        )
        best = always.get(rule.activity)
        if rule.stacking == "exclusive" and is_always and (best is None or rule.priority > best.priority):
            always[rule.activity] = rule
    for index, rule in enumerate(document.earn):
        winner = always.get(rule.activity)
        if winner is None or rule is winner:
            continue
        is_stronger = rule.stacking == "exclusive" and rule.priority > winner.priority
        is_first = (
            rule.stacking == "exclusive"
            and rule.priority == winner.priority
            and index < document.earn.index(winner)
        )
        if not (is_stronger or is_first):
            yield Remark(
                ("earn", index), f"the rule never applies: {winner.id!r} is exclusive and always applies"
            )


def _out_of_reach(document: ProgramDocument) -> Iterator[Remark]:
    least = document.redemption.minimum_points
    for index, cap in enumerate(document.caps):
        if cap.per == "life" and cap.points is not None and cap.points < least:
            yield Remark(
                ("caps", index),
                f"nobody can redeem: a customer is given at most {cap.points} points, and {least} are the least "
                "that can be redeemed",
            )
