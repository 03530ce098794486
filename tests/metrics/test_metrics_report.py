"""The report: every metric with its definition, on a terminal, as JSON, and as one HTML file."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest
from metric_samples import HOSTILE, sample_metrics
from metric_shops import LONDON, random_orders, source_of

from rewards.commands.report_tables import print_report
from rewards.metrics.orders import LeftOut
from rewards.metrics.report import Report, make_report
from rewards.metrics.result import Result
from rewards.metrics.showing.report_page import report_page
from rewards.metrics.showing.wire import packed, unpacked
from rewards.metrics.source import Source

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        yield


@pytest.fixture
def source() -> Source:
    return source_of(random_orders(1, customers=20), date(2026, 3, 1), LONDON)


@pytest.fixture
def report(source: Source) -> Report:
    made = make_report(source, NOW)
    left_out = LeftOut(zero_amount=3, other_currency=1, refunded_whole=2)
    return replace(made, shop=replace(made.shop, name=HOSTILE, left_out=left_out))


def test_a_metric_that_fails_says_so_and_takes_no_other_with_it(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    assert [entry.name for entry in report.entries if entry.failed] == ["broken"]
    assert len(report.entries) == 8
    broken = next(entry for entry in report.entries if entry.failed)
    assert broken.result.value is None
    assert "RuntimeError" in (broken.result.reason_if_null or "")
    assert "secret" not in (broken.result.reason_if_null or "")
    # The log is where it belongs.
    assert any("a secret" in str(record.exc_info) for record in caplog.get_records("setup"))


def test_a_figure_that_is_no_number_is_none(report: Report) -> None:
    result = next(entry.result for entry in report.entries if entry.name == "no-number")
    assert (result.value, result.interval) == (None, None)
    assert result.reason_if_null == "The figure came out as no number."


def test_progress_counts_the_metrics(source: Source) -> None:
    told: list[tuple[str, int, int | None]] = []
    make_report(source, NOW, lambda *each: told.append(each))
    assert told[-1] == ("metrics", 8, 8)


def test_as_json_it_has_every_metric_with_definition_counts_and_interval(report: Report) -> None:
    told = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert (told["as_of"], told["currency"], told["timezone"]) == ("2026-03-01", "GBP", "Europe/London")
    assert told["generated_at"] == "2026-03-02T09:30:00Z"
    assert told["left_out"]["zero_amount"] == 3
    first = told["metrics"][0]
    assert first["name"] == "matured-repeat-rate"
    assert (first["value"], first["numerator"], first["denominator"]) == (0.3526, 1203, 3412)
    assert first["interval"] == {"low": 0.3367, "high": 0.3688, "level": 0.95}
    assert first["definition"]["formula"] == "those who did ÷ those who could"
    assert first["breakdown"]["survival"]["rows"][1]["program"] == 1 - 5 / 400
    by_name = {each["name"]: each for each in told["metrics"]}
    assert by_name["cohorts"]["value"] is None
    assert by_name["cohorts"]["reason_if_null"].startswith("Nobody has bought")
    assert by_name["broken"]["failed"]


def test_a_result_is_the_same_after_it_was_kept(report: Report) -> None:
    for entry in report.entries:
        kept = unpacked(json.loads(json.dumps(packed(entry.result), allow_nan=False)))
        assert isinstance(kept, Result)
        assert packed(kept) == packed(entry.result)


class _Page(HTMLParser):
    """What a browser would load, run or reach, and how headings and ids stand."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if about.get("id"):
            self.ids.append(about["id"] or "")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_as_html_it_is_one_file_that_loads_and_runs_nothing(report: Report) -> None:
    html = report_page(report)
    page = _Page()
    page.feed(html)
    assert page.open == []
    assert {"script", "img", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert "@import" not in html
    assert "url(" not in html
    # Addresses lead into the file, and to places that are there.
    assert all(each.startswith("#") for each in page.addresses)
    assert {each[1:] for each in page.addresses} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 2 * 7
    # No level of headings is left out.
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_as_html_it_says_what_somebody_who_runs_a_shop_asks(report: Report) -> None:
    html = report_page(report)
    assert "1,203 customers who did, of 3,412 customers who could." in html
    assert "Between 33.7% and 36.9% (95% interval)." in html
    assert "Evidence A: randomised" in html
    assert "Chance alone decided" in html
    assert "No figure" in html
    assert "Nobody has bought anything yet" in html
    assert "could not be worked out because of a fault of ours" in html
    assert "Orders that are not counted as purchases: 3 that cost nothing, 1 in other currencies." in html
    assert "2 purchases were refunded whole; they are counted." in html
    assert html.count("What this means") == 8
    # The shop's own words are text.
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


def _printed(report: Report, **options: bool) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        print_report(report, **options)
    return out.getvalue()


def test_on_a_terminal_it_is_tables_that_fit(report: Report) -> None:
    printed = _printed(report)
    assert max(map(len, printed.splitlines())) <= 120
    flat = re.sub(r"\s+", " ", printed)
    assert "those who did ÷ those who could" in flat
    assert "between 33.7% and 36.9%; 1,203 of 3,412" in flat
    assert "Nobody has bought anything yet" in flat
    assert "Evidence A: randomised" in flat
    assert "failed" in flat
    assert "\x1b" not in printed  # colours are for terminals
    assert "It misleads where nobody looks." not in printed
    assert "[bold]" not in printed


def test_in_full_it_has_the_edges_and_the_short_breakdowns(report: Report) -> None:
    printed = _printed(report, full=True)
    assert "It misleads where nobody looks." in printed
    assert "Points by age" in printed
    assert "£12.00" in printed


def test_a_report_of_no_metrics_is_a_report(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewards.metrics import registry

    monkeypatch.setattr(registry, "MODULES", ())
    registry.all_metrics.cache_clear()
    report = make_report(source, NOW)
    assert report.entries == ()
    assert "Report as of" in report_page(report)
    assert _printed(report)
