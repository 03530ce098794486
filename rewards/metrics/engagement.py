"""Engagement: who did anything at all lately, and how much of it, each kind of action by its weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewards.metrics.intervals import wilson
from rewards.metrics.ledger_reading.clocks import begins
from rewards.metrics.lifetime.cells import rounded, whole
from rewards.metrics.lifetime.ranks import positions
from rewards.metrics.lifetime.sums import sums
from rewards.metrics.orders import day_of
from rewards.metrics.result import BadParameter, Column, Definition, Metric, Parameter, Result, Table, nothing
from rewards.metrics.windows import customer_rows, left_out_notes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

#: What counts, and what one of it weighs unless told otherwise.
WEIGHTS: Mapping[str, float] = {
    "purchase": 5.0,
    "redemption": 3.0,
    "referral": 3.0,
    "review": 2.0,
    "survey": 2.0,
    "signup": 1.0,
    "custom": 1.0,
}
_WORDS = {
    "purchase": "Days with a purchase",
    "redemption": "Redemptions",
    "referral": "Customers brought",
    "review": "Reviews",
    "survey": "Surveys answered",
    "signup": "Joined",
    "custom": "The shop's own actions",
}
#: These are what activities are called; the others are read where they are told best.
_ACTIVITIES = ("referral", "review", "signup", "custom")

DAYS = Parameter("days", "days", 90, "how many days up to as_of are looked at", least=1, most=3650)
PARAMETER = Parameter(
    "weights",
    "text",
    None,
    "what an action weighs, such as purchase=5, review=2; those not named weigh nothing. Else "
    + ", ".join(f"{kind}={weight:g}" for kind, weight in WEIGHTS.items()),
)

# What was taken back, such as a review, is not counted; a survey that was both answered and imported counts once.
_EVENTS = """
SELECT s.unit_no, e.kind, count(*)
FROM (
    SELECT a.customer_id, split_part(a.activity_key, ':', 1) AS kind FROM activities AS a
    WHERE a.occurred_at >= :since AND a.occurred_at < :until
      AND split_part(a.activity_key, ':', 1) = ANY(:activities)
      AND NOT EXISTS (SELECT FROM retractions AS r
                      WHERE r.customer_id = a.customer_id AND r.activity_key = a.activity_key)
    UNION ALL
    SELECT customer_id, 'survey' FROM (
        SELECT customer_id, min(answered_at) AS answered_at FROM survey_answers GROUP BY customer_id, survey_id
    ) AS answered
    WHERE answered_at >= :since AND answered_at < :until
    UNION ALL
    SELECT customer_id, 'redemption' FROM entries
    WHERE kind = 'redeem' AND occurred_at >= :since AND occurred_at < :until
) AS e
LEFT JOIN identities AS i ON i.customer_id = e.customer_id
JOIN customer_stats AS s ON s.customer_id = coalesce(i.same_as, e.customer_id)
WHERE NOT s.excluded
GROUP BY s.unit_no, e.kind"""
_KNOWN = """
SELECT count(*) FROM customer_stats
WHERE NOT excluded AND least(first_activity_at, first_at) < :until"""


@dataclass(frozen=True)
class Engaged:
    """Who did anything in the window: arrays in the order of ``unit``.

    Attributes:
        unit: the customers' numbers, ascending.
        counts: for each kind of action, how many each customer did.
        score: Σ weight × count.
        known: how many customers there are in all, those who did nothing included.
    """

    unit: "NDArray[np.int32]"
    counts: Mapping[str, "NDArray[np.float64]"]
    score: "NDArray[np.float64]"
    known: int

    def percentile(self) -> "NDArray[np.float64]":
        """Return the share of all known customers who score less than each; equals share the least of theirs."""
        place: NDArray[np.float64] = (positions(self.score) + self.known - len(self.unit)) / self.known
        return place


def engaged(source: "Source", days: int, weights: Mapping[str, float]) -> Engaged:
    """Return who did anything with a weight above 0 in the ``days`` before ``source.until``."""
    import numpy as np

    bought = source.orders.days
    late = np.flatnonzero(bought.day >= source.until - days)
    events = [("purchase", bought.unit[late], np.ones(len(late)))]
    known = len(bought.starts)
    if source.conn is not None:
        told, known = _told(source, days)
        events += told
    events = [each for each in events if weights.get(each[0], 0) > 0]
    unit = np.unique(np.concatenate([np.zeros(0, dtype=np.int32), *(units for _, units, _ in events)]))
    counts = {
        kind: sums(np.searchsorted(unit, units), number, len(unit))
        for kind, units, number in events
        if len(units)
    }
    score = np.zeros(len(unit))
    for kind, number in counts.items():
        score += weights[kind] * number
    # Who did anything is known, also where only an imported answer tells of somebody.
    return Engaged(unit, counts, score, max(known, len(unit)))


def _told(
    source: "Source", days: int
) -> "tuple[list[tuple[str, NDArray[np.int32], NDArray[np.float64]]], int]":
    """Return what the database has of other actions: kind, customers and counts; and how many customers there are."""
    import numpy as np
    from sqlalchemy import text

    assert source.conn is not None
    named = {"since": begins(day_of(source.until - days), source.zone), "until": source.ends_at}
    rows = source.conn.execute(text(_EVENTS), named | {"activities": list(_ACTIVITIES)}).all()
    known = int(source.conn.execute(text(_KNOWN), {"until": source.ends_at}).scalar_one())
    kinds = np.array([row[1] for row in rows], dtype=object)
    units = np.array([row[0] for row in rows], dtype=np.int32)
    number = np.array([row[2] for row in rows], dtype=float)
    return [
        (kind, units[kinds == kind], number[kinds == kind]) for kind in WEIGHTS if (kinds == kind).any()
    ], known


def weights_of(text: str | None) -> Mapping[str, float]:
    """Return weights written as ``purchase=5, review=2``; the defaults for None.

    Raises:
        BadParameter: it reads otherwise, names what is not counted, or weighs nothing.
    """
    if text is None:
        return WEIGHTS
    found: dict[str, float] = {}
    for part in text.split(","):
        kind, _, number = (each.strip() for each in part.partition("="))
        if kind not in WEIGHTS:
            raise BadParameter(f"weights may name: {', '.join(WEIGHTS)}; write them as purchase=5, review=2")
        try:
            found[kind] = float(number)
        except ValueError:
            raise BadParameter(f"the weight of {kind} must be a number") from None
        if not 0 <= found[kind] <= 1_000_000:
            raise BadParameter(f"the weight of {kind} must be between 0 and 1,000,000")
    if not any(found.values()):
        raise BadParameter("at least one weight must be above 0")
    return found


def engagement(source: "Source", days: int, weights: str | None) -> Result:
    """Return the share of known customers who did anything in the window."""
    weighed = weights_of(weights)
    of = engaged(source, days, weighed)
    asked = {"days": days, "weights": dict(weighed)}
    if not of.known:
        return nothing(f"No customer is known up to {source.as_of}.", "share", parameters=asked)
    active = len(of.unit)
    notes = left_out_notes(source)
    if source.conn is None:
        notes.append("Only purchases are known here, so that customers are those who have bought.")
    return Result(
        active / of.known,
        "share",
        active,
        of.known,
        wilson(active, of.known),
        notes=notes,
        tables=[_kinds(of, weighed), _spread(of)] if active else [_kinds(of, weighed)],
        parameters=asked,
    )


def engagement_rows(source: "Source", days: int, weights: str | None) -> Table:
    """Return who did anything, by score."""
    import numpy as np

    of = engaged(source, days, weights_of(weights))
    order = np.argsort(-of.score, kind="stable")
    columns: list[tuple[Column, Sequence[Any]]] = [
        (Column("score", "Score", "score"), rounded(of.score[order], 4)),
        (Column("percentile", "Customers who score less", "share"), rounded(of.percentile()[order], 6)),
    ]
    for kind, number in of.counts.items():
        columns.append((Column(kind, _WORDS[kind], "count"), whole(number[order])))
    return customer_rows(source, "Customers by what they did", of.unit[order], columns)


def _kinds(of: Engaged, weights: Mapping[str, float]) -> Table:
    columns = (
        Column("action", "Action", "text"),
        Column("weight", "Weight", "score"),
        Column("events", "Number", "count"),
        Column("customers", "Customers", "count"),
        Column("share_of_score", "Of all scores", "share"),
    )
    total = float(of.score.sum())
    rows = []
    for kind, weight in weights.items():
        number = of.counts.get(kind)
        events = 0 if number is None else round(float(number.sum()))
        customers = 0 if number is None else int((number > 0).sum())
        rows.append([_WORDS[kind], weight, events, customers, weight * events / total if total else None])
    return Table("actions", "What was done, and what it weighs", columns, rows)


def _spread(of: Engaged) -> Table:
    import numpy as np

    shares = (0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    columns = (
        Column("up_to", "Active customers, from the least", "share"),
        Column("score", "Score at most", "score"),
    )
    found = np.quantile(of.score, shares, method="inverted_cdf").tolist()
    return Table("spread", "Scores of active customers", columns, list(zip(shares, found, strict=True)))


METRICS = (
    Metric(
        Definition(
            "engagement",
            "Active customers",
            "Retention",
            "share",
            "customers with at least one action that counts ÷ customers known; score = Σ weight × number of actions",
            "customers who bought, redeemed, answered, reviewed or brought somebody in the window",
            "customers who ever did anything up to as_of",
            "The last 90 days (days).",
            (
                "A day with purchases counts once, however many orders it has.",
                "What the program does by itself, such as birthday points, is nobody's action; nor is being brought.",
                "Weights are a choice, so compare customers by rank (who scores less), not by the raw sum.",
            ),
        ),
        engagement,
        (DAYS, PARAMETER),
        engagement_rows,
    ),
)
