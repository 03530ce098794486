"""What the dashboard shows of the metrics that are kept: figures in words, their charts, and what they rest on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from markupsafe import Markup

from rewards.core import wording
from rewards.metrics.kept import LISTED_KEY, Kept, KeptEntry
from rewards.metrics.registry import all_metrics
from rewards.metrics.report import by_family, common_notes
from rewards.metrics.result import Column, Metric, Result, Table
from rewards.metrics.showing import parts, words
from rewards.metrics.showing.figures import MOST_OPEN_ROWS, figure, table_html
from rewards.metrics.showing.markup import Html, element
from rewards.metrics.showing.report_page import HEADLINES, left_out_words

#: Writes the address of a path of ours, seen from the page that is shown.
Link = Callable[[str], str]

#: A kept figure that is older than this says so: nobody takes the job's turns.
_LATE = timedelta(minutes=30)
_MOST_NOTES = 3
_CUSTOMER = "customer_id"


class Part(NamedTuple):
    """A part of the dashboard.

    Attributes:
        anchor: its id on the page.
        heading: of it.
        metric: whose figure it shows.
        tables: which of the metric's tables; the first one where none of these is there.
        only_with_figure: whether it is left out where there is no figure.
    """

    anchor: str
    heading: str
    metric: str
    tables: Sequence[str]
    only_with_figure: bool = False


#: From what a shop pays for to what it owes.
PARTS = (
    Part("changed", "What the program changed", "effect", ("over-time",)),
    Part("sooner", "Do customers come back sooner", "effect-by-survival", ("survival",)),
    Part("campaigns", "What campaigns changed", "campaign-effects", ("campaigns",), only_with_figure=True),
    Part("cohorts", "Who comes back, by month of first purchase", "cohorts", ("customers",)),
    Part("second", "How soon customers buy again", "time-to-second-purchase", ("curve",)),
    Part("value", "Who brings the revenue to come", "value-segments", ("segments",)),
    Part("liability", "What is owed to customers", "liability", ("age", "over-time")),
    Part("tiers", "Customers in each tier", "tiers", ("over-time",)),
    Part("referrals", "What referrals brought", "referral-revenue", ()),
    Part("at-risk", "Customers who slow down", "at-risk", (LISTED_KEY,)),
)


class Card(NamedTuple):
    """A headline."""

    name: str
    title: str
    value: str
    between: str
    today: str
    grade: words.Grade | None


class Shown(NamedTuple):
    """A part of the dashboard as it is shown."""

    anchor: str
    heading: str
    name: str
    told: Markup
    notes: Markup
    more_notes: Markup
    figures: Sequence[Markup]
    has_rows: bool


class Line(NamedTuple):
    """A metric in the list of all of them."""

    name: str
    title: str
    value: str
    said: str
    grade: words.Grade | None
    failed: bool


class View(NamedTuple):
    """All that the dashboard shows."""

    as_of: str
    today: str
    worked_out: str
    is_late: bool
    counted: str
    left_out: str
    cards: Sequence[Card]
    parts: Sequence[Shown]
    families: Mapping[str, Sequence[Line]]


def dashboard_view(kept: Kept, now: datetime, link: Link) -> View:
    """Return what the dashboard shows."""
    shop, zone = kept.shop, ZoneInfo(kept.shop.zone)
    entries = kept.entries
    told = [entries[name] for name in HEADLINES if name in entries and entries[name].result.value is not None]
    counted = f"{wording.number(shop.purchases)} purchases of {wording.number(shop.customers)} customers" + (
        f" since {wording.day(shop.first_day)}" if shop.first_day else ""
    )
    return View(
        as_of=f"{wording.day(shop.as_of)}, {shop.zone}",
        today=wording.day_and_month(shop.as_of + timedelta(days=1)),
        worked_out=wording.minute(kept.made_at, zone),
        is_late=now - kept.made_at > _LATE and now.astimezone(zone).date() > shop.as_of + timedelta(days=1),
        counted=counted,
        left_out=left_out_words(shop.left_out),
        cards=[_card(entry, shop.currency) for entry in told],
        parts=list(_parts(entries, shop.currency, link)),
        families=_families(entries, shop.currency),
    )


def customer_cell(link: Link) -> Callable[[Column, Any], Html | None]:
    """Return what writes a customer's id as a link to the customer's page."""

    def cell(column: Column, value: Any) -> Html | None:
        if column.key != _CUSTOMER or not isinstance(value, str):
            return None
        return element("a", value, href=link(f"/admin/customers/{quote(value, safe='')}"), class_="customer")

    return cell


def markup(html: Html | None) -> Markup:
    """Return HTML that was written without a template for one."""
    return Markup(html or "")  # noqa: S704 - its texts are escaped


def figures_of(
    tables: Sequence[Table],
    drawings: Mapping[str, Any] | None,
    currency: str,
    link: Link,
    *,
    folded: bool = False,
) -> list[Markup]:
    """Return tables with their charts; those that were drawn before are taken as they are.

    Args:
        tables: what to show.
        drawings: the charts by the tables' keys; None where they are still to be drawn.
        currency: of amounts.
        link: writes addresses.
        folded: whether a table that a chart shows is to be opened first, however short it is.
    """
    cell = customer_cell(link)
    most = 0 if folded else MOST_OPEN_ROWS
    if drawings is None:
        return [markup(figure(table, currency, cell=cell, most_open=most)) for table in tables]
    return [
        markup(figure(table, currency, drawing=drawings[table.key], cell=cell, most_open=most))
        if table.key in drawings
        else markup(table_html(table, currency, cell=cell, visible_caption=True))
        for table in tables
    ]


def _card(entry: KeptEntry, currency: str) -> Card:
    result, today = entry.result, entry.today
    grade = words.GRADES[result.evidence]
    return Card(
        entry.name,
        entry.metric.definition.title,
        words.headline(result.value, result.unit, currency),
        "" if result.interval is None else words.between(result.interval, result.unit, currency),
        "" if today is None or today.value is None else words.headline(today.value, today.unit, currency),
        grade if grade.is_comparison or result.evidence == "estimated" else None,
    )


def _parts(entries: Mapping[str, KeptEntry], currency: str, link: Link) -> Iterator[Shown]:
    reasons = set()
    # What is beside many figures is about the shop: the top of the page says it, and each metric's own page.
    common = common_notes(entry.result for entry in entries.values())
    for part in PARTS:
        entry = entries.get(part.metric)
        if entry is None:
            continue
        # What one part says of why there is no figure, the next need not say again.
        if entry.result.value is None and (part.only_with_figure or entry.result.reason_if_null in reasons):
            continue
        reasons.add(entry.result.reason_if_null)
        yield _part(part, entry, currency, link, common)


def _part(part: Part, entry: KeptEntry, currency: str, link: Link, common: Sequence[str]) -> Shown:
    result, definition = entry.result, entry.metric.definition
    notes = [note for note in result.notes if note not in common]
    by_key = {table.key: table for table in result.tables if table.rows}
    tables = [by_key[key] for key in part.tables if key in by_key] or list(by_key.values())[:1]
    return Shown(
        part.anchor,
        part.heading,
        entry.name,
        markup(parts.told(result, definition, currency, failed=entry.failed)),
        markup(parts.notes(notes[:_MOST_NOTES])),
        markup(parts.notes(notes[_MOST_NOTES:])),
        figures_of(tables, entry.drawings, currency, link, folded=True),
        entry.metric.rows is not None and result.value is not None,
    )


def _families(entries: Mapping[str, KeptEntry], currency: str) -> Mapping[str, Sequence[Line]]:
    families = by_family(all_metrics().values(), lambda metric: metric.definition.family)
    return {
        family: [_line_of(metric, entries.get(metric.name), currency) for metric in metrics]
        for family, metrics in families.items()
    }


def _line_of(metric: Metric, entry: KeptEntry | None, currency: str) -> Line:
    title = metric.definition.title
    if entry is None:
        return Line(metric.name, title, "", "Worked out when it is asked for.", None, False)
    return _line(metric.name, title, entry.result, currency, failed=entry.failed)


def _line(name: str, title: str, result: Result, currency: str, *, failed: bool) -> Line:
    if result.value is None:
        return Line(name, title, words.NOT_KNOWN, result.reason_if_null or "", None, failed)
    value = words.figure(result.value, result.unit, currency)
    said = "" if result.interval is None else words.between(result.interval, result.unit, currency)
    return Line(name, title, value, said, words.GRADES[result.evidence], failed)
