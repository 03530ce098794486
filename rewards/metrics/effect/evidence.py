"""What a comparison of customers is worth: its grade, when it is refused, and when it falls to mere description.

The grades are those of METRICS §3. All limits here are proposals that a shop may set otherwise.
"""

from typing import NamedTuple

from rewards.metrics.result import Evidence


class Limits(NamedTuple):
    """When a comparison is refused or loses its grade."""

    #: Customers on each side of a comparison.
    least_customers: int = 100
    #: Customers on each side who did what is compared, such as buying again.
    least_events: int = 10
    #: Roll-out units from which on their spread tells how far a figure may be off; below, dates are shuffled.
    least_clusters: int = 10
    #: A test of an assumption rejects it below this.
    alpha: float = 0.05
    #: Of a standardised difference between two groups after weighting.
    most_difference: float = 0.1
    #: The share of members who may lie where hardly any non-member is like them.
    most_without_match: float = 0.05
    #: Non-members that the weighted ones must be worth.
    least_effective: int = 100
    #: How clearly a threshold must decide who is in a tier: (jump of the share / its error)².
    least_f: float = 10


LIMITS = Limits()


class Grade(NamedTuple):
    """What a grade means, in a few words and in a sentence."""

    title: str
    meaning: str


GRADES: dict[Evidence, Grade] = {
    "A": Grade("Randomised", "chance decided who got it, so that the difference is what it changed"),
    "B": Grade(
        "Natural experiment",
        "dates or thresholds that customers did not choose decided who got it; right as long as nothing else"
        " changed there at the same time",
    ),
    "C": Grade(
        "Adjusted association",
        "customers chose, and those who did are compared with others who looked alike; what was not recorded"
        " may still explain it",
    ),
    "D": Grade(
        "Description", "who joins differs from who does not; the difference is not caused by the program"
    ),
}

NOT_CAUSED = (
    "This is descriptive, not caused by the program: people join by buying, so that members buy more anyway."
)
TO_A = (
    "To know what the program changes, hold a share of new customers out, or hold some out of the next benefit or"
    " campaign, picked by chance."
)


def too_few(
    names: tuple[str, str],
    customers: tuple[float, float],
    events: tuple[float, float],
    limits: Limits = LIMITS,
) -> str | None:
    """Return why two groups are too small to be compared, as a sentence; None where they are not.

    Args:
        names: what the groups are called, such as ``("members", "non-members")``.
        customers: how many customers each has.
        events: how many of those did what is compared.
        limits: what is refused.
    """
    for name, size in zip(names, customers, strict=True):
        if size < limits.least_customers:
            return (
                f"There are {size:,.0f} {name}; with fewer than {limits.least_customers:,} on a side chance alone"
                " makes large differences."
            )
    for name, count in zip(names, events, strict=True):
        if count < limits.least_events:
            return (
                f"Only {count:,.0f} of the {name} bought in the time compared; with fewer than"
                f" {limits.least_events} on a side no difference can be told."
            )
    return None
