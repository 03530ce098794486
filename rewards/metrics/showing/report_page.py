"""The report as one HTML file: style and drawings inside, no script, nothing from elsewhere; it prints, too."""

from collections.abc import Iterator, Sequence
from importlib.resources import files

from rewards.core import wording
from rewards.metrics.orders import LeftOut
from rewards.metrics.report import Entry, Report, Shop
from rewards.metrics.showing import parts, words
from rewards.metrics.showing.figures import figure
from rewards.metrics.showing.markup import Html, element, join

_LEAD = (
    "What customers do, what the program costs, and, where that can be known, what the program changed. Each figure "
    "says what it was counted from. A figure that cannot be known is not shown as nothing; it says why."
)
#: What a shop's owner wants to know first; those that are there stand at the top.
HEADLINES = (
    "effect",
    "matured-repeat-rate",
    "repeat-rate",
    "retention",
    "churn-accounts",
    "lifetime-value",
    "predicted-lifetime-value",
    "nps",
    "redemption-rate",
    "liability",
    "program-economics",
)


def report_page(report: Report) -> str:
    """Return the report as the text of an HTML file."""
    shop, common = report.shop, report.common_notes()
    title = f"{shop.name or 'The shop'}: report as of {wording.day(shop.as_of)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Html(_style())),
    )
    body = element(
        "body",
        element("a", "Skip to the figures", class_="skip", href="#content"),
        _masthead(shop, common),
        _contents(report),
        element("main", _headlines(report), *_families(report, common), _grades(), id="content"),
        element("footer", element("p", _made(shop))),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def anchor(name: str) -> str:
    """Return the id of the part of the report that tells of a metric."""
    return f"metric-{_plain(name)}"


def family_anchor(family: str) -> str:
    """Return the id of the part of the report that tells of a family of metrics."""
    return f"family-{_plain(family)}"


def _plain(name: str) -> str:
    return "".join(each if each.isalnum() else "-" for each in name.lower())


def left_out_words(left_out: LeftOut) -> str:
    """Say which orders are counted as no purchases; "" where there are none."""
    parts = [
        f"{wording.number(count)} {text}"
        for count, text in (
            (left_out.zero_amount, "that cost nothing"),
            (left_out.points_only, "paid with points alone"),
            (left_out.other_currency, "in other currencies"),
            (left_out.test_or_staff, "of test and staff accounts"),
        )
        if count
    ]
    said = f"Orders that are not counted as purchases: {', '.join(parts)}." if parts else ""
    if left_out.refunded_whole:
        told = f"{wording.number(left_out.refunded_whole)} purchases were refunded whole; they are counted."
        said = f"{said} {told}".strip()
    return said


def _style() -> str:
    return files("rewards.metrics.showing").joinpath("report.css").read_text(encoding="utf-8")


def _masthead(shop: Shop, common: Sequence[str]) -> Html:
    counted = (
        f"{wording.number(shop.purchases)} purchases of {wording.number(shop.customers)} customers"
        + (f", the first on {wording.day(shop.first_day)}" if shop.first_day else "")
        + f". Figures are as of the end of {wording.day(shop.as_of)}, {shop.zone}."
    )
    history = (
        f" Orders are complete since {wording.day(shop.history_start)}; who bought before that may be taken for new."
        if shop.history_start
        else ""
    )
    return element(
        "header",
        element("p", shop.name or "The shop", class_="program"),
        element("h1", f"Report as of {wording.day(shop.as_of)}"),
        element("p", _LEAD, class_="lead"),
        element("p", counted + history),
        # Where metrics say themselves what they leave out, it is among the notes.
        join([element("p", "To know of many of the figures:"), parts.notes(common)])
        if common
        else element("p", left_out_words(shop.left_out), class_="quiet"),
        class_="masthead",
    )


def _contents(report: Report) -> Html:
    links = (
        element("li", element("a", family, href=f"#{family_anchor(family)}"), f" ({len(entries)})")
        for family, entries in report.families().items()
    )
    return element(
        "nav", element("h2", "What is in it"), element("ul", *links), aria_label="Contents", class_="toc"
    )


def _headlines(report: Report) -> Html | None:
    by_name = {entry.name: entry for entry in report.entries}
    told = [by_name[name] for name in HEADLINES if name in by_name and by_name[name].result.value is not None]
    if not told:
        return None
    cards = (_card(entry, report.shop.currency) for entry in told)
    return element(
        "section",
        element("h2", "At a glance"),
        element("div", *cards, class_="stats"),
        class_="glance",
        id="glance",
    )


def _card(entry: Entry, currency: str) -> Html:
    result = entry.result
    between = result.interval and words.between(result.interval, result.unit, currency)
    grade = words.GRADES[result.evidence]
    note = element("p", element("span", grade.label, class_=f"badge {grade.kind}".strip()))
    return element(
        "div",
        element("p", element("a", entry.definition.title, href=f"#{anchor(entry.name)}"), class_="label"),
        element("p", words.headline(result.value, result.unit, currency), class_="value"),
        element("p", between, class_="note") if between else None,
        note if grade.is_comparison or result.evidence == "estimated" else None,
        class_="stat",
    )


def _families(report: Report, common: Sequence[str]) -> Iterator[Html]:
    for family, entries in report.families().items():
        told = (_metric(entry, report.shop.currency, common) for entry in entries)
        yield element("section", element("h2", family), *told, id=family_anchor(family), class_="family")


def _metric(entry: Entry, currency: str, common: Sequence[str]) -> Html:
    result, definition = entry.result, entry.definition
    shown = [figure(table, currency) for table in result.tables]
    return element(
        "article",
        element("h3", definition.title),
        parts.told(result, definition, currency, failed=entry.failed),
        parts.notes([note for note in result.notes if note not in common]),
        *shown,
        parts.defined(definition, result.parameters),
        id=anchor(entry.name),
        class_="metric",
    )


def _grades() -> Html:
    rows = (
        element("div", element("dt", grade.label), element("dd", grade.meaning))
        for grade in words.GRADES.values()
    )
    lead = (
        "Whoever joins a program buys more than others, with the program and without it. So a difference is only what "
        "the program did where something other than the customers decided who was in it."
    )
    return element(
        "section",
        element("h2", "How far a figure can be trusted"),
        element("p", lead),
        element("dl", *rows, class_="facts"),
        id="evidence",
    )


def _made(shop: Shop) -> str:
    made = shop.generated_at.strftime("%Y-%m-%d %H:%M UTC")
    return f"Made on {made} by `rewards report --html`. Amounts are in {shop.currency}."
