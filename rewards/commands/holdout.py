"""`rewards program holdout`: how large a holdout it takes, and one to paste into the program."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.commands.console import open_database, parse_instant, say, table
from rewards.core.clock import utc_now
from rewards.core.errors import SetupError

if TYPE_CHECKING:
    from rewards.metrics.effect.baseline import Baseline
    from rewards.metrics.effect.power import Advice, Needed, Outcome

_PRIMARIES = ("repeat-rate-90d", "revenue-per-customer")


def holdout(
    *,
    baseline: Annotated[
        float | None,
        typer.Option(
            metavar="PCT", help="How many in 100 new customers come back within 90 days; by your orders."
        ),
    ] = None,
    lift: Annotated[
        float, typer.Option(metavar="PCT", help="The least change that would matter, relative to that.")
    ] = 10.0,
    customers: Annotated[
        float | None,
        typer.Option(metavar="N", help="New customers in a month; by your orders, unless given."),
    ] = None,
    primary: Annotated[
        str, typer.Option(metavar="OUTCOME", help=f"Judged by {' or '.join(_PRIMARIES)}.")
    ] = "repeat-rate-90d",
    mean: Annotated[
        float | None, typer.Option(help="What a new customer spends in 90 days, for revenue-per-customer.")
    ] = None,
    deviation: Annotated[
        float | None, typer.Option(help="The standard deviation of that between customers.")
    ] = None,
    correlation: Annotated[
        float, typer.Option(help="Of the outcome with a customer's own past; 0 for new customers.")
    ] = 0.0,
    power: Annotated[float, typer.Option(metavar="PCT", help="How often the change is to be seen.")] = 80.0,
    share: Annotated[
        float | None, typer.Option(metavar="PCT", help="Print the program's section for this share.")
    ] = None,
    starts_at: Annotated[
        str | None, typer.Option(metavar="DAY", help="When it starts; tomorrow unless given.")
    ] = None,
) -> None:
    """Work out how many customers it takes to see what the program changes, and print a holdout to paste into it.

    What is not given is taken from your own orders of the last year.
    """
    from rewards.metrics.effect.power import advise, needed

    if primary not in _PRIMARIES:
        raise typer.BadParameter(f"--primary is {' or '.join(_PRIMARIES)}")
    is_rate = primary == "repeat-rate-90d"
    known = (
        _known()
        if customers is None or (baseline is None if is_rate else None in (mean, deviation))
        else None
    )
    per_month = customers if customers is not None else _from_orders(known, "per_month", "--customers")
    try:
        outcome = _outcome(known, baseline, lift, mean, deviation, is_rate=is_rate)
        advice = advise(outcome, per_month, power=power / 100, correlation=correlation)
        chosen = advice.best
        if share is not None:
            chosen = needed(outcome, share, per_month, power=power / 100, correlation=correlation)
    except ValueError as error:
        raise SetupError(str(error)) from None
    _explain(advice, lift, per_month, known)
    begins = date.fromisoformat(_day(starts_at))
    print(_section(chosen, begins, primary, staggered=advice.staggered and share is None))


def _outcome(
    known: "Baseline | None",
    baseline: float | None,
    lift: float,
    mean: float | None,
    deviation: float | None,
    *,
    is_rate: bool,
) -> "Outcome":
    """Return what is to be told apart.

    Raises:
        ValueError: a figure is outside of what it can be.
        SetupError: a figure is neither given nor to be had from the shop's orders.
    """
    from rewards.metrics.effect.power import of_mean, of_rate

    if is_rate:
        rate = baseline / 100 if baseline is not None else _from_orders(known, "rate", "--baseline")
        return of_rate(rate, lift / 100)
    spent = mean if mean is not None else _from_orders(known, "mean_minor", "--mean")
    spread = deviation if deviation is not None else _from_orders(known, "deviation_minor", "--deviation")
    return of_mean(spent, spread, lift / 100)


def _known() -> "Baseline":
    from rewards.metrics.effect.baseline import read_baseline
    from rewards.program.versions import load_history

    now = utc_now()
    with open_database() as database, database.engine.connect() as connection:
        document = load_history(connection).in_force(now).document
        return read_baseline(connection, document.timezone, document.currency, now)


def _from_orders(known: "Baseline | None", name: str, option: str) -> float:
    value = None if known is None else getattr(known, name)
    if not value:
        raise SetupError(f"There are no orders to take it from; give {option}")
    return float(value)


def _day(starts_at: str | None) -> str:
    if starts_at is None:
        return (utc_now() + timedelta(days=1)).date().isoformat()
    from datetime import UTC
    from zoneinfo import ZoneInfo

    return parse_instant(starts_at, ZoneInfo("UTC")).astimezone(UTC).date().isoformat()


def _explain(advice: "Advice", lift: float, per_month: float, known: "Baseline | None") -> None:
    """Tell on stderr what each share takes, so that what is to be pasted is alone on stdout."""
    if known is not None and known.rate is not None:
        say(f"Of {known.customers:,} new customers of a year {known.rate:.1%} came back within 90 days.")
    say(f"To see a change of {lift:+g} %, with {per_month:,.0f} new customers a month:")
    rows = [("HELD OUT", "CUSTOMERS", "OF THEM HELD OUT", "WEEKS")]
    rows += [
        (
            f"{each.share_pct:g} %",
            f"{each.total:,}",
            f"{each.holdout:,}",
            "never" if each.weeks is None else f"{each.weeks:,.0f}",
        )
        for each in advice.options
    ]
    say(table(rows))
    say(advice.text)


def _section(chosen: "Needed | None", begins: date, primary: str, *, staggered: bool) -> str:
    from rewards.metrics.effect.power import STAGGERED_DAYS
    from rewards.program.holdout import new_salt, snippet

    fields: list[tuple[str, Any]] = [
        ("id", f"{'start' if staggered else 'holdout'}-{begins:%Y-%m}"),
        ("salt", f'"{new_salt()}"'),
        ("share_pct", "50" if staggered or chosen is None else f"{chosen.share_pct:g}"),
        ("starts_at", begins),
    ]
    if staggered:
        ends = begins + timedelta(days=STAGGERED_DAYS)
        fields += [("ends_at", ends), ("planned_end", ends), ("eligible", "all"), ("primary", primary)]
        fields += [("staggered", "true")]
        return snippet(fields)
    if chosen is not None and chosen.weeks is not None:
        fields.append(("planned_end", begins + timedelta(weeks=round(chosen.weeks + 0.5))))
    return snippet([*fields, ("primary", primary)])
