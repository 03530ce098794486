"""Limits of rules: when they are on, and how much they may still give. Pure.

A cap counts what was given in a period on the program's calendar. What does not fit is cut, and each cut is said
in words and in figures.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from rewards.ledger.state import Count, CountKey
from rewards.program.giving import count_points
from rewards.program.rules import (
    Active,
    Budget,
    Cap,
    EarnRule,
    Per,
    Window,
    parse_local_moment,
    parse_time_of_day,
)

NOTHING = Count()

_DAY_MINUTES = 24 * 60
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PER = {
    "award": "an award",
    "day": "a day",
    "week": "a week",
    "month": "a month",
    "year": "a year",
    "life": "for life",
}

#: Tells whether a rule is on at a wall time of the program's zone.
IsOn = Callable[[datetime], bool]


def period_of(per: Per, local: datetime) -> str:
    """Return the name of the period that a wall time lies in: ``2026-11-22``, ``2026-W47``, ``2026-11``, …"""
    match per:
        case "day":
            return local.strftime("%Y-%m-%d")
        case "week":
            year, week, _ = local.isocalendar()
            return f"{year}-W{week:02d}"
        case "month":
            return local.strftime("%Y-%m")
        case "year":
            return local.strftime("%Y")
        case _:
            return per


def counts_of(rule: EarnRule) -> list[tuple[str, Per]]:
    """Return what must be counted for a rule's limits: names and kinds of period."""
    counted: dict[tuple[str, Per], None] = {}
    for cap in rule.caps:
        if cap.per != "award":
            counted[f"rule:{rule.id}", cap.per] = None
    if rule.occurrences is not None:
        counted[f"rule:{rule.id}", "life"] = None
        if rule.occurrences.every:
            counted[f"seen:{rule.id}", "life"] = None
    return list(counted)


def is_on(active: Active | None, windows: Iterable[Window]) -> IsOn | None:
    """Return the check of a rule's dates and windows; None where it is always on."""
    checks = [_between(active)] if active is not None else []
    within = [_within(window) for window in windows]
    if within:
        checks.append(lambda local: any(check(local) for check in within))
    if not checks:
        return None
    return checks[0] if len(checks) == 1 else lambda local: all(check(local) for check in checks)


def _between(active: Active) -> IsOn:
    begin = parse_local_moment(active.from_ or "0001-01-01")
    end = parse_local_moment(active.until or "9999-12-31")
    return lambda local: begin <= local.replace(tzinfo=None) < end


def _within(window: Window) -> IsOn:
    begin, end = _minute_of_day(window.from_), _minute_of_day(window.until)
    is_day = _day_check(window)

    def check(local: datetime) -> bool:
        now, today = local.hour * 60 + local.minute, local.date()
        if begin < end:
            return begin <= now < end and is_day(today)
        # It passes midnight and belongs to the day on which it began.
        return (now >= begin and is_day(today)) or (now < end and is_day(today - timedelta(days=1)))

    return check


def _minute_of_day(text: str) -> int:
    at = parse_time_of_day(text)
    return _DAY_MINUTES if at == time.max else at.hour * 60 + at.minute


def _day_check(window: Window) -> Callable[[date], bool]:
    days = {_WEEKDAYS.index(day) for day in window.days}
    months, month_days = set(window.months), set(window.month_days)

    def check(day: date) -> bool:
        if days and day.weekday() not in days:
            return False
        if months and day.month not in months:
            return False
        return not month_days or day.day in month_days or _from_the_end(day) in month_days

    return check


def _from_the_end(day: date) -> int:
    return day.day - monthrange(day.year, day.month)[1] - 1


def within_caps(
    points: int, caps: Iterable[Cap], name: str, counts: Mapping[CountKey, Count], local: datetime
) -> tuple[int, list[dict[str, Any]]]:
    """Return what of ``points`` the caps let through, and their cuts."""
    cuts = []
    for cap in caps:
        if not points:
            break
        used = NOTHING if cap.per == "award" else counts.get((name, period_of(cap.per, local)), NOTHING)
        given = _fitting(points, cap.points, cap.times, cap.then, used)
        if given < points:
            cuts.append(_cut(name, cap, used, points - given))
            points = given
    return points, cuts


def within_budget(points: int, rule_id: str, budget: Budget, used: Count) -> tuple[int, list[dict[str, Any]]]:
    """Return what of ``points`` a rule's budget lets through, and its cut."""
    given = _fitting(points, budget.points, budget.times, budget.then, used)
    if given == points:
        return points, []
    limit, spent = (
        (_times(budget.times), used.times)
        if budget.times is not None and used.times >= budget.times
        else (count_points(budget.points or 0), used.points)
    )
    is_or_are = "is" if spent == 1 else "are"
    cut = {
        "limit": f"budget:{rule_id}",
        "points_limit": budget.points,
        "times_limit": budget.times,
        "used_points": used.points,
        "used_times": used.times,
        "points": points - given,
        "text": f"{points - given} not given: of the rule's budget of {limit}, {spent} {is_or_are} spent",
    }
    return given, [cut]


def _fitting(points: int, most_points: int | None, most_times: int | None, then: str, used: Count) -> int:
    if most_times is not None and used.times >= most_times:
        return 0
    if most_points is None:
        return points
    left = max(most_points - used.points, 0)
    if points <= left:
        return points
    return left if then == "reduce" else 0


def _times(times: int) -> str:
    return "1 time" if times == 1 else f"{times} times"


def _cut(name: str, cap: Cap, used: Count, points: int) -> dict[str, Any]:
    of = "of all rules together " if name == "program" else ""
    limit = count_points(cap.points) if cap.points is not None else _times(cap.times or 0)
    spent = used.points if cap.points is not None else used.times
    used_text = "" if cap.per == "award" else f", {spent} used"
    return {
        "limit": name,
        "per": cap.per,
        "points_limit": cap.points,
        "times_limit": cap.times,
        "used_points": used.points,
        "used_times": used.times,
        "points": points,
        "text": f"{points} not given: the cap {of}is {limit} {_PER[cap.per]}{used_text}",
    }


def part_of_cut(cut: dict[str, Any], points: int) -> dict[str, Any]:
    """Return a cut for that part of its points that one of several rules bears."""
    _, _, why = cut["text"].partition(" not given: ")
    return cut | {"points": points, "text": f"{points} not given: {why}"}
