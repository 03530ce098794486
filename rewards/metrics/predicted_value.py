"""Lifetime value to come: what customers are expected to bring in over the next months."""

from typing import TYPE_CHECKING, Any

from rewards.metrics.lifetime.cells import rounded, whole
from rewards.metrics.lifetime.checking import Check
from rewards.metrics.lifetime.known import checked_at, known_at
from rewards.metrics.lifetime.prediction import (
    LARGEST_CORRELATION,
    LEAST_DAYS,
    LEAST_REPEATERS,
    Forecast,
    Models,
    Terms,
    forecast,
)
from rewards.metrics.lifetime.search import Unidentified
from rewards.metrics.lifetime_value import MARGIN, by_cohort, money_notes, spread, value_unit
from rewards.metrics.orders import day_of
from rewards.metrics.result import Column, Definition, Metric, Parameter, Result, Table, Unit, nothing
from rewards.metrics.windows import (
    customer_rows,
    dates,
    first_purchase_notes,
    left_out_notes,
    no_purchases,
    share,
)

if TYPE_CHECKING:
    from rewards.metrics.source import Source

MONTHS = Parameter("months", "number", 12, "how many months ahead", least=1, most=60)
DISCOUNT = Parameter(
    "discount",
    "number",
    0.01,
    "what a month of waiting costs: money in month k counts 1/(1 + discount)^k",
    least=0,
    most=1,
)


def terms_of(months: float, discount: float, margin: float | None) -> Terms:
    """Return how the future is valued, from the parameters."""
    return Terms(int(months), float(discount), 1.0 if margin is None else margin)


def predicted_value(source: "Source", months: float, discount: float, margin: float | None) -> Result:
    """Return the mean of what customers are expected to bring in, discounted, minor units."""
    terms = terms_of(months, discount, margin)
    asked = {"months": terms.months, "discount": terms.discount, "margin": margin}
    known = known_at(source, source.until)
    if not len(known.customers):
        return nothing(no_purchases(source), "minor", parameters=asked)
    if not known.customers.x.any():
        reason = f"Nobody has bought on a second day up to {source.as_of}; there is no pace of buying to go on with."
        return nothing(reason, "minor", parameters=asked)
    expected = forecast(known.customers, known.models, terms)
    checked = checked_at(source)
    title = f"Expected {value_unit(margin).lower()} of the next {terms.months} months"
    tables = [
        by_cohort(known.customers.first_day, expected.value, f"{title} by month of first purchase"),
        spread(expected.value, f"{title}: how it is spread"),
    ]
    if isinstance(checked, Check):
        tables += _check_tables(checked)
    if expected.models is not None:
        tables.append(_models_table(expected.models))
    return Result(
        float(expected.value.mean()),
        "minor",
        float(expected.value.sum()),
        len(known.customers),
        evidence="estimated",
        notes=[
            *_method_notes(expected),
            *_check_notes(checked),
            *money_notes(margin),
            *first_purchase_notes(source, known.customers.first_day),
            *left_out_notes(source),
        ],
        tables=tables,
        parameters=asked | {"method": "cohort-means" if expected.models is None else "bg-nbd-gamma-gamma"},
    )


def predicted_value_rows(source: "Source", months: float, discount: float, margin: float | None) -> Table:
    """Return what each customer is expected to bring in, the most first."""
    import numpy as np

    known = known_at(source, source.until)
    expected = forecast(known.customers, known.models, terms_of(months, discount, margin))
    order = np.argsort(-expected.value, kind="stable")
    of = known.customers
    columns: list[tuple[Column, list[Any]]] = [
        (Column("last_purchase", "Last purchase", "date"), dates((of.first_day + of.t_x)[order])),
        (Column("purchase_days", "Purchase days", "count"), whole(of.x[order] + 1)),
    ]
    if expected.purchases is not None and expected.spend is not None:
        columns += [
            (
                Column("expected_purchases", "Expected purchases", "score"),
                rounded(expected.purchases[order], 4),
            ),
            (
                Column("expected_spend_minor", "Expected spend a purchase", "minor"),
                whole(expected.spend[order]),
            ),
        ]
    columns.append(
        (
            Column("value_minor", f"Expected {value_unit(margin).lower()}", "minor"),
            whole(expected.value[order]),
        )
    )
    return customer_rows(source, "What each customer is expected to bring in", of.unit[order], columns)


def _method_notes(expected: Forecast) -> list[str]:
    if expected.models is None:
        note = (
            f"Predicted by cohort means, because the model cannot be fitted: {expected.why}. Everybody is given the "
            "mean pace of those who first bought in the same month, so that this tells nothing of single customers, "
            "and too much where customers slow down."
        )
        return [note]
    notes = []
    if isinstance(expected.models.amounts, Unidentified):
        notes.append(
            "Everybody is expected to spend the mean of all repeat purchases, because Gamma–Gamma cannot be fitted: "
            f"{expected.models.amounts.reason}."
        )
    correlation = expected.models.correlation
    if correlation is not None:
        told = f"How often customers buy and what a purchase comes to have a correlation of {correlation:.2f} here"
        in_doubt = abs(correlation) > LARGEST_CORRELATION
        warning = f", which is in doubt beyond ±{LARGEST_CORRELATION}: the value of the best customers may be far off"
        notes.append(f"{told}; the model takes them for unrelated{warning if in_doubt else ''}.")
    return notes


def _check_notes(checked: Check | Unidentified) -> list[str]:
    if isinstance(checked, Unidentified):
        return [f"How wrong such a prediction was in the past cannot be told: {checked.reason}."]
    expected = checked.revenue_by_means if checked.model is None else checked.model.revenue
    how = "cohort means" if checked.model is None else "the model"
    off = share(expected - checked.revenue, checked.revenue)
    told = (
        f"A prediction of {checked.days} days by {how}, made on {day_of(checked.split - 1)} from what was known then, "
        "would have been"
    )
    if off is None or checked.revenue < 0:
        return [f"{told} wrong: nothing came in."]
    if abs(off) < 0.005:
        return [f"{told} right to within 1 % in the sum."]
    return [f"{told} {abs(off):.0%} too {'high' if off > 0 else 'low'} in the sum."]


def _check_tables(checked: Check) -> list[Table]:
    """Return what was expected of the days that were held back, beside what happened: money, and purchases."""
    title = (
        f"The {checked.days} days since {day_of(checked.split)}, predicted for the {checked.customers:,} customers "
        "known then from what was known then"
    )
    model, revenue = checked.model, checked.revenue
    each = [("cohort means", checked.revenue_by_means)]
    if model is not None:
        each.insert(0, ("the model", model.revenue))
    columns = _check_columns("minor")
    rows = [
        [by, round(expected), round(revenue), share(expected - revenue, revenue)] for by, expected in each
    ]
    tables = [Table("holdout_revenue", f"{title}: revenue", columns, rows)]
    if model is not None:
        columns = (*_check_columns("score"), Column("distance", "Off by for a customer, mean", "score"))
        mean = checked.customers * model.mean_expected
        both = (("the model", model.purchases, model.error), ("the mean of all", mean, model.error_of_mean))
        made = checked.purchases
        rows = [
            [by, round(expected, 1), made, share(expected - made, made), round(error, 4)]
            for by, expected, error in both
        ]
        tables.append(Table("holdout_purchases", f"{title}: purchase days", columns, rows))
    return tables


def _check_columns(unit: Unit) -> tuple[Column, ...]:
    return (
        Column("by", "Predicted by", "text"),
        Column("expected", "Expected", unit),
        Column("happened", "Happened", unit),
        Column("off", "Off by", "share"),
    )


def _models_table(models: Models) -> Table:
    import numpy as np

    columns = (
        Column("model", "Model", "text"),
        Column("parameter", "Parameter", "text"),
        Column("value", "Value", "score"),
        Column("low", "95 % from", "score"),
        Column("high", "to", "score"),
    )
    buying, amounts = models.purchases, models.amounts
    each = [
        ("BG/NBD", name, getattr(buying, name), error)
        for name, error in zip(("r", "alpha", "a", "b"), buying.log_errors, strict=True)
    ]
    if not isinstance(amounts, Unidentified):
        each += [
            ("Gamma–Gamma", name, getattr(amounts, name), error)
            for name, error in zip(("p", "q", "v"), amounts.log_errors, strict=True)
        ]
    rows: list[list[str | float | None]] = []
    for model, name, value, error in each:
        reach = float(np.exp(1.96 * error))
        rows.append(
            [model, name, *(float(f"{figure:.5g}") for figure in (value, value / reach, value * reach))]
        )
    rows.append(["BG/NBD", "log-likelihood", round(buying.log_likelihood, 1), None, None])
    if not isinstance(amounts, Unidentified):
        rows.append(["Gamma–Gamma", "log-likelihood", round(amounts.log_likelihood, 1), None, None])
    return Table("models", "Fitted models, time in days and money in minor units", columns, rows)


_FALLBACK = (
    f"With a history under {LEAST_DAYS} days, under {LEAST_REPEATERS} repeaters, or purchases that do not tell the "
    "model's parameters, everybody gets the mean pace of the cohort, and the figure says so."
)

METRICS = (
    Metric(
        Definition(
            "predicted-lifetime-value",
            "Lifetime value to come",
            "Lifetime value",
            "minor",
            "Σ over months k of E[purchases in month k] × E[spend] × margin ÷ (1 + discount)^k ÷ customers",
            "what all customers are expected to bring in, discounted",
            "customers with a purchase",
            "The 12 months after as_of (months), each of 365/12 days, from all purchases so far.",
            (
                "Purchases are predicted by BG/NBD on purchase days, spend by Gamma–Gamma, net of refunds.",
                _FALLBACK,
                "It is of today's customers only; nobody who comes later is in it.",
                "It has no interval: what it is worth is told by the table of what it would have predicted before.",
            ),
            "Fader, Hardie and Lee: Marketing Science 24 (2), 2005; Journal of Marketing Research 42, 2005.",
        ),
        predicted_value,
        (MONTHS, DISCOUNT, MARGIN),
        predicted_value_rows,
        on_dashboard=True,
    ),
)
