"""The program in force, in sentences for customers: how points are earned, used and kept."""

from typing import NamedTuple

from rewards.core.money import minor_digits
from rewards.core.wording import money, number, points
from rewards.program.document import ProgramDocument
from rewards.program.durations import parse_duration, parse_month_day
from rewards.program.points import ExpiresAfter, ExpiresOnDates, ExpiresOnInactivity, NeverExpires
from rewards.program.rules import AtLeast, EarnRule, Fixed, Multiplier, PerAmount, PerUnit

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_FOR = {
    "purchase": "every order",
    "survey": "answering a survey",
    "referral": "bringing a friend",
    "referred": "being brought by a friend",
    "review": "writing a review",
    "signup": "joining",
    "birthday": "your birthday",
    "anniversary": "each year with us",
    "tier": "reaching a tier",
}


class Rule(NamedTuple):
    """One thing to know, under its heading."""

    heading: str
    sentences: list[str]


def how_it_works(document: ProgramDocument) -> list[Rule]:
    """Return what a customer should know of a program, in the order in which it matters to one."""
    return [
        Rule("Earning", _earning(document)),
        Rule("Spending", _spending(document)),
        Rule("Keeping", _keeping(document)),
        Rule("Returns", _returns(document)),
    ]


def _earning(document: ProgramDocument) -> list[str]:
    # What a campaign gives is for those whom it has made its offer; the others need not read of it.
    ways = [_way(rule, document.currency) for rule in document.earn if rule.campaign is None]
    if not ways:
        return ["There is nothing to earn points with at the moment."]
    sentences = [f"You get {_listed(ways)}."]
    counted = document.base_amount
    left_out = [name for name, counts in (("tax", counted.tax), ("delivery", counted.shipping)) if not counts]
    if left_out and any(isinstance(rule.gives, PerAmount) for rule in document.earn):
        sentences.append(f"What you pay for {_listed(left_out)} does not count.")
    return sentences


def _way(rule: EarnRule, currency: str) -> str:
    what = _gives(rule, currency)
    is_for_all = rule.when is None and not rule.segments and rule.campaign is None
    if is_for_all and not rule.windows and rule.active is None and rule.occurrences is None:
        return what
    return f"{what} ({rule.name or 'at certain times or on certain conditions'})"


def _gives(rule: EarnRule, currency: str) -> str:
    occasion = _FOR.get(rule.activity) or rule.name or rule.id
    match rule.gives:
        case PerAmount() as gives:
            amount = money(gives.per_minor, currency, brief=True)
            whole = "full " if gives.whole_blocks else ""
            on = "" if gives.items is None else " on some products"
            return f"{points(gives.points)} for every {whole}{amount} you spend{on}"
        case PerUnit() as gives:
            return (
                f"{points(gives.points)} for each {'product' if gives.items is None else 'of some products'}"
            )
        case Multiplier(multiplier_pct=percent):
            return f"{percent / 100:g} times the points for {occasion}"
        case AtLeast() as gives:
            return f"at least {points(gives.points)} for {occasion}"
        case Fixed() as gives:
            return f"{points(gives.points)} for {occasion}"


def _spending(document: ProgramDocument) -> list[str]:
    policy = document.redemption
    # Told for a whole unit of money where that comes out even: 100 points are worth £1, not 1 point £0.01.
    unit = 10 ** minor_digits(document.currency)
    times = unit // policy.value_minor if unit % policy.value_minor == 0 else 1
    worth = money(policy.value_minor * times, document.currency, brief=True)
    told = policy.points * times
    sentences = [f"{points(told)} {'is' if told == 1 else 'are'} worth {worth}."]
    steps = f"in steps of {number(policy.step_points)}" if policy.step_points > 1 else ""
    if policy.minimum_points > policy.step_points:
        least = f"You can spend {points(policy.minimum_points)} or more at once"
        sentences.append(f"{least}, {steps}." if steps else f"{least}.")
    elif steps:
        sentences.append(f"You can spend them {steps}.")
    if policy.max_order_share_pct is not None and policy.max_order_share_pct < 100:
        sentences.append(f"They pay for up to {policy.max_order_share_pct}% of an order.")
    return sentences


def _keeping(document: ProgramDocument) -> list[str]:
    sentences = []
    if document.points.pending is not None and parse_duration(document.points.pending):
        sentences.append(f"New points are ready to spend after {_period(document.points.pending)}.")
    match document.points.expiry:
        case NeverExpires():
            sentences.append("Points never expire.")
        case ExpiresAfter(period=period, round_up_to=None):
            sentences.append(f"Points last {_period(period)}.")
        case ExpiresAfter(period=period, round_up_to=unit):
            sentences.append(f"Points last {_period(period)}, and then to the end of that {unit}.")
        case ExpiresOnDates(dates=dates, minimum_life=minimum):
            days = _listed([_day_of_year(day) for day in sorted(dates)])
            least = f", but never before they are {_period(minimum)} old" if minimum else ""
            sentences.append(f"Points expire at the end of {days}{least}.")
        case ExpiresOnInactivity(period=period):
            sentences.append(
                f"Points last as long as you earn or spend some every {_period(period, 'every')}."
            )
    return sentences


def _returns(document: ProgramDocument) -> list[str]:
    owed = document.points.negative_balance == "allow"
    return [
        "When an order is refunded, the points it gave are taken back and those that paid for it return.",
        "If you have spent them by then, the next ones you earn make up for it."
        if owed
        else "If you have spent them by then, they are yours to keep.",
    ]


def _period(text: str, after: str = "") -> str:
    """Write an ISO 8601 duration in words: ``12 months``, ``14 days``, ``1 year and 6 months``."""
    period = parse_duration(text)
    minutes, seconds = divmod(period.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    units = {
        "month": period.months,
        "day": period.days,
        "hour": hours,
        "minute": minutes,
        "second": seconds,
    }
    if period.months % 12 == 0 and period.months > 12:
        units = {"year": period.months // 12} | units | {"month": 0}
    parts = [(count, unit) for unit, count in units.items() if count]
    if after == "every" and len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    return _listed([f"{number(count)} {unit}{'' if count == 1 else 's'}" for count, unit in parts])


def _day_of_year(text: str) -> str:
    month, day = parse_month_day(text)
    return "February" if (month, day) == (2, 29) else f"{day} {_MONTHS[month - 1]}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
