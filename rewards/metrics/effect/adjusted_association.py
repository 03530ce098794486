"""The metric ``adjusted-association``: who joined against customers who looked alike and could have. Grade C."""

from typing import TYPE_CHECKING, Any, Literal

from rewards.metrics.effect.adjusted import Adjusted, EValues, adjusted_difference, e_values
from rewards.metrics.effect.evidence import LIMITS, TO_A, Limits, too_few
from rewards.metrics.effect.joining import COLUMNS, Occasions, occasions_of, varying
from rewards.metrics.effect.overlap import Overlap, overlap_of, why_not
from rewards.metrics.effect.recorded import NO_DATABASE, NO_MEMBERS, read_joined
from rewards.metrics.intervals import normal
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, Unit, nothing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

Outcome = Literal["bought-again", "revenue"]
_NAMES = ("members", "non-members")
_UNITS: dict[Outcome, Unit] = {"bought-again": "points_pct", "revenue": "minor"}


def compute(
    source: "Source", outcome: Outcome = "bought-again", horizon: int = 90, window: int = 90
) -> Result:
    """Work the metric out; see :data:`METRICS`."""
    start = source.until - horizon - window
    used = {"outcome": outcome, "horizon": horizon, "window": window}
    if source.conn is None:
        return nothing(NO_DATABASE, _UNITS[outcome], evidence="C", parameters=used)
    member, joined_on = read_joined(source)
    if not len(member):
        return nothing(NO_MEMBERS, _UNITS[outcome], evidence="C", parameters=used)
    if not len(source.orders):
        return nothing("There are no purchases yet.", _UNITS[outcome], evidence="C", parameters=used)
    found = occasions_of(source.orders, member, joined_on, start, window, horizon)
    return result_of(found, outcome, {**used, "from": day_of(start).isoformat()})


def result_of(
    found: Occasions, outcome: Outcome, used: dict[str, Any] | None = None, limits: Limits = LIMITS
) -> Result:
    """Return the adjusted association, or why it is refused."""
    unit, used = _UNITS[outcome], used or {}
    joined = found.joined
    sizes = (int(joined.sum()), int((~joined).sum()))
    events = (int(found.bought[joined].sum()), int(found.bought[~joined].sum()))
    reason = too_few(_NAMES, sizes, events, limits)
    if reason is not None:
        return nothing(reason, unit, evidence="C", parameters=used)
    columns = varying(found.known, joined)
    known, y = found.known[:, columns], found.outcome(outcome)
    overlap = overlap_of(known, joined)
    reason = why_not(overlap, _NAMES, limits)
    tables = (
        [] if overlap is None else [_balance(known, columns, joined, overlap), _likeness(joined, overlap)]
    )
    if reason is not None or overlap is None:
        return nothing(reason or "", unit, evidence="C", parameters=used, tables=tables)
    figure = adjusted_difference(y, joined, known, overlap)
    interval = normal(figure.value, figure.se)
    spread = float(y.std(ddof=1)) if outcome == "revenue" else None
    notes = [
        (
            "Adjusted association: members chose to join. It would be what joining changed only if nothing that was not"
            " recorded made people both join and buy."
        ),
        *_unrecorded(e_values(figure, interval.low, interval.high, spread)),
        _naive(figure, outcome),
        *_facts(found, overlap),
        TO_A,
    ]
    return Result(
        figure.value, unit, interval=interval, evidence="C", notes=notes, tables=tables, parameters=used
    )


def _unrecorded(values: EValues | None) -> list[str]:
    if values is None:
        return []
    if values.nearest <= 1:
        return [
            "The interval covers zero, so that nothing unrecorded is needed to explain the figure (E-value 1)."
        ]
    return [
        (
            f"E-value {values.figure:.2f} ({values.nearest:.2f} for the interval): something unrecorded that makes"
            f" people {values.figure:.2f} times as likely to join, and as likely to buy, would explain all of it."
        )
    ]


def _naive(figure: Adjusted, outcome: Outcome) -> str:
    of = "percentage points" if outcome == "bought-again" else "minor units"
    shown = f"{100 * figure.naive:+.1f}" if outcome == "bought-again" else f"{figure.naive:+,.0f}"
    return f"Without adjustment the difference would have been shown as {shown} {of}."


def _facts(found: Occasions, overlap: Overlap) -> list[str]:
    joined = int(found.joined.sum())
    others = len(found.unit) - joined
    notes = [
        (
            f"{joined:,} customers who joined on the day of a purchase are compared with {others:,} who bought and did"
            f" not join then; weighted to look like members those are worth {overlap.effective:,.0f}."
        ),
    ]
    if found.joined_later:
        notes.append(
            f"{found.joined_later:,} of the non-members joined later within the time compared and stay where they"
            " were, which makes the difference smaller."
        )
    return notes


def _balance(
    known: "NDArray[np.float64]", columns: "NDArray[np.int64]", joined: "NDArray[np.bool_]", overlap: Overlap
) -> Table:
    """Return how members and non-members differ in what was known before, without and with weights."""
    import numpy as np

    one = known[joined, 1:].mean(axis=0)
    other = known[~joined, 1:].mean(axis=0)
    alike = np.average(known[~joined, 1:], axis=0, weights=overlap.weight[~joined])
    rows = [
        [COLUMNS[column - 1], *map(float, figures)]
        for column, *figures in zip(
            columns[1:].tolist(), one, other, alike, overlap.before, overlap.after, strict=True
        )
    ]
    return Table(
        "balance",
        "What was known before",
        [
            Column("what", "What was known", "text"),
            Column("members", "Members, mean", "ratio"),
            Column("others", "Non-members, mean", "ratio"),
            Column("alike", "Non-members weighted, mean", "ratio"),
            Column("smd_before", "Standardised difference", "ratio"),
            Column("smd_after", "Standardised difference, weighted (below 0.1)", "ratio"),
        ],
        rows,
    )


def _likeness(joined: "NDArray[np.bool_]", overlap: Overlap) -> Table:
    """Return how many members and non-members there are by their probability of joining."""
    import numpy as np

    place = np.minimum((overlap.p * 10).astype(np.int64), 9)
    one, other = (np.bincount(place[side], minlength=10).tolist() for side in (joined, ~joined))
    rows = [[f"{at * 10}–{at * 10 + 10}%", one[at], other[at]] for at in range(10)]
    return Table(
        "overlap",
        "How probable it was to join, given what was known before",
        [
            Column("probability", "Probability of joining", "text"),
            Column("members", "Members", "count"),
            Column("others", "Non-members", "count"),
        ],
        rows,
        "bars",
    )


METRICS = (
    Metric(
        Definition(
            "adjusted-association",
            "Members and customers like them (adjusted association)",
            "Effect",
            "points_pct",
            "mean over members of (what they did − what others who looked alike did), doubly robust",
            window="Occasions in 90 days (window), then 90 days after each occasion (horizon), all before as_of.",
            edges=(
                "An occasion is a customer's first purchase day in the window; who joined on that day is a member.",
                "Who had joined before the occasion is in neither group; who joined afterwards stays a non-member.",
                "The purchase on the occasion itself is known before, not counted after.",
                "Refused where members have nobody like them, or weighting does not make the groups alike.",
            ),
            source="Sant'Anna & Zhao (2020); VanderWeele & Ding (2017)",
        ),
        compute,
        (
            Parameter(
                "outcome",
                "choice",
                "bought-again",
                "the share who bought again within the horizon, or revenue per customer then",
                ("bought-again", "revenue"),
            ),
            Parameter(
                "horizon", "days", 90, "so many days after the occasion are compared", least=7, most=730
            ),
            Parameter("window", "days", 90, "occasions are looked for in so many days", least=7, most=730),
        ),
    ),
)
