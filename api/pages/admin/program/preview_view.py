"""What the page of a preview shows, worked out from its report: figures in words, and the bars of a chart."""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from markupsafe import Markup

from api.pages.admin.charts import Bar, bar_chart
from rewards.core.money import known_currency
from rewards.core.wording import money, month, number, points

MOST_MOVERS = 10
#: So many months fit side by side; older ones are in the table alone.
_MOST_BARS = 18

_FLOWS = {
    "issued": "Points issued",
    "clawed_back": "Clawed back",
    "redeemed": "Redeemed",
    "reinstated": "Reinstated",
    "expired": "Expired",
    "adjusted": "Adjusted",
}


class Figure(NamedTuple):
    """A figure before and after."""

    label: str
    before: str
    after: str
    change: str


class Mover(NamedTuple):
    """A customer whose balance would be another."""

    customer_id: str
    before: str
    after: str
    change: str


class PreviewView(NamedTuple):
    """All that the page shows of a report."""

    heading: str
    sample: str
    totals: list[Figure]
    worth: list[Figure]
    rules: list[Figure]
    months: list[Figure]
    chart: Markup | None
    changed: str
    up: list[Mover]
    down: list[Mover]
    refused: list[str]
    notes: list[str]


def preview_view(report: Mapping[str, Any]) -> PreviewView:
    """Return what the page shows of a report in the API's shape."""
    totals, changed = report["totals"], report["customers_changed"]
    count = changed["count"]
    return PreviewView(
        heading=f"{number(report['activities'])} activities of {_customers(report['customers'])} replayed in "
        f"{report['seconds']:.1f} s",
        sample=_sample(report["sample"]),
        totals=[
            *(figure(label, totals[name]) for name, label in _FLOWS.items() if any(totals[name].values())),
            figure("Points owed to customers", report["liability_points"]),
        ],
        worth=[
            worth("Worth of points issued", report["cost_minor"], report),
            worth("Worth of points owed", report["liability_minor"], report),
        ],
        rules=list(_by(report["issued"], "rule_id")),
        months=[figure(month(_first_day(each)), each["issued"]) for each in report["months"]],
        chart=_chart(report["months"]),
        changed=f"The balance of {_customers(count)} would be another."
        if count
        else "No customer's balance changes.",
        up=[_mover(each) for each in changed["up"][:MOST_MOVERS]],
        down=[_mover(each) for each in changed["down"][:MOST_MOVERS]],
        refused=list(_refused(report)),
        notes=list(report["notes"]),
    )


def _chart(months: list[Mapping[str, Any]]) -> Markup | None:
    """Return the points issued by month as bars, where there are several months."""
    bars = [
        Bar(
            f"{_first_day(each):%b %y}",
            month(_first_day(each)),
            (each["issued"]["before"], each["issued"]["after"]),
        )
        for each in months[-_MOST_BARS:]
    ]
    if len(bars) < 2:
        return None
    return bar_chart(bars, "Points issued by month", series=("as it was", "under the draft"), heading="Month")


def _first_day(each: Mapping[str, Any]) -> date:
    return date.fromisoformat(f"{each['month']}-01")


def _customers(count: int) -> str:
    return f"{number(count)} {'customer' if count == 1 else 'customers'}"


def _sample(sample: Mapping[str, Any] | None) -> str:
    if sample is None:
        return ""
    error = sample["change_standard_error"]
    return (
        f"Estimates for all {number(sample['of'])} customers from {number(sample['customers'])} of them. "
        f"The standard error of the change in points issued is {number(error)}."
    )


def figure(label: str, change: Mapping[str, int]) -> Figure:
    """Return a number before and after."""
    before, after = change["before"], change["after"]
    return Figure(label, number(before), number(after), _percent(before, after))


def worth(label: str, change: Mapping[str, int], report: Mapping[str, Any]) -> Figure:
    """Return an amount of money before and after, in the currencies of a report."""
    currency, was = report["currency"], report["currency_before"]
    before, after = change["before"], change["after"]
    percent = _percent(before, after) if currency == was else ""
    return Figure(label, _money(before, was), _money(after, currency), percent)


def _money(minor: int, currency: str) -> str:
    if not known_currency(currency):
        return f"{number(minor)} {currency}"
    return money(minor, currency) if minor >= 0 else f"\N{MINUS SIGN}{money(-minor, currency)}"


def _by(issued: list[Mapping[str, Any]], name: str) -> Iterator[Figure]:
    sums: dict[str, list[int]] = {}
    for each in issued:
        held = sums.setdefault(each[name], [0, 0])
        held[0] += each["before"]
        held[1] += each["after"]
    for key, (before, after) in sums.items():
        yield figure(key, {"before": before, "after": after})


def _mover(each: Mapping[str, Any]) -> Mover:
    before, after = each["before"], each["after"]
    return Mover(each["customer_id"], number(before), number(after), _signed(after - before))


def _refused(report: Mapping[str, Any]) -> Iterator[str]:
    for each in report["refused"]:
        yield (
            f"{number(each['count'])} × {each['what']} refused ({each['code']}), such as {each['name']} of "
            f"customer {each['customer_id']}: {each['detail']}"
        )
    cut = report["redemptions_cut"]
    if cut["count"]:
        are = "redemption is" if cut["count"] == 1 else "redemptions are"
        yield f"{number(cut['count'])} {are} not covered in full; {points(cut['points'])} short."


def _percent(before: int, after: int) -> str:
    if before == after:
        return "="
    if before <= 0:
        return _signed(after - before)
    return f"{(after - before) / before:+.1%}".replace("-", "\N{MINUS SIGN}")


def _signed(change: int) -> str:
    return f"+{number(change)}" if change > 0 else number(change)
