"""The metrics' pages over HTTP: the dashboard from what is kept, a metric's own page, its rows and files."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from metric_samples import HOSTILE, sample_metrics
from office import Browser, Office
from sqlalchemy import text

from rewards.core.clock import utc_now
from rewards.facts.refresh import refresh
from rewards.metrics.kept import keep

NO_BREAK = "\N{NO-BREAK SPACE}"


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with sample_metrics(monkeypatch):
        yield


@pytest.fixture
def kept(office: Office) -> None:
    refresh(office.database, utc_now())
    keep(office.database, utc_now())


def test_before_anything_is_kept_the_dashboard_says_so(owner: Browser) -> None:
    page = owner.get("/admin/metrics")
    assert page.status_code == 200
    assert "being worked out for the first time" in page.text
    answer = owner.get("/admin/metrics/matured-repeat-rate")
    assert answer.status_code == 503
    assert "still being worked out" in answer.text


@pytest.mark.usefixtures("kept")
def test_the_dashboard_tells_headlines_with_intervals_and_today_so_far(owner: Browser) -> None:
    page = owner.get("/admin/metrics").text
    assert re.search(r'class="value">35.3%</p>\s*<p class="note">between 33.7% and 36.9%</p>', page)
    assert re.search(r"35.3% with .{3,12} so far <span class=\"badge\"[^>]*>partial</span>", page)
    assert f"+1.3{NO_BREAK}percentage points" in page
    assert "Evidence A: randomised" in page
    assert "Chance alone decided who was in which group" in page
    assert "£10,483" in page or "$10,483" in page
    assert "it cannot yet be told. About 9 weeks to go." in page


@pytest.mark.usefixtures("kept")
def test_every_figure_opens_what_it_means_and_its_rows(owner: Browser) -> None:
    page = owner.get("/admin/metrics").text
    sections = re.findall(r'<section class="card metric".*?</section>', page, re.DOTALL)
    assert len(sections) == 4  # effect, cohorts (no figure), liability, at-risk
    assert all(">What this means<" in each for each in sections)
    links = re.findall(r'href="([^"]*metrics/[^"]*)"', page)
    for link in dict.fromkeys(links):
        assert (
            owner.get("/admin/" + link.removeprefix("../admin/").removeprefix("./admin/")).status_code == 200
        ), link
    assert "Bought every fortnight" in page
    assert 'href="../admin/customers/GB%2F123"' in page


@pytest.mark.usefixtures("kept")
def test_charts_stand_beside_tables_and_bring_no_style(owner: Browser) -> None:
    page = owner.get("/admin/metrics").text
    assert page.count('role="img"') == 2 * 2
    assert page.count("The figures as a table") == 2
    assert not re.search(r"<style|\sstyle=|<script(?! src=)", page)
    assert HOSTILE not in page


@pytest.mark.usefixtures("kept")
def test_what_has_no_figure_says_why_and_what_failed_says_so(owner: Browser) -> None:
    page = owner.get("/admin/metrics").text
    assert "Nobody has bought anything yet, so there is nobody who could have come back." in page
    assert '<span class="badge bad">failed</span>' in page
    assert "a secret of the server" not in page
    assert "Worked out when it is asked for." in page


@pytest.mark.usefixtures("kept")
def test_the_dashboard_only_reads(office: Office, owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    from rewards.metrics import store

    def refuse(*_: object) -> None:
        raise AssertionError("a page worked something out")

    monkeypatch.setattr(store, "read_orders", refuse)
    monkeypatch.setattr("rewards.metrics.showing.drawing.svg_of", refuse)
    assert owner.get("/admin/metrics").status_code == 200
    assert owner.get("/admin/metrics/liability").status_code == 200


@pytest.mark.usefixtures("kept")
def test_old_figures_say_that_nobody_brings_them_up(office: Office, owner: Browser) -> None:
    assert "These figures are old" not in owner.get("/admin/metrics").text
    with office.database.engine.begin() as conn:
        conn.execute(text("UPDATE kept_shop SET made_at = made_at - interval '3 days',"
                          " shop = jsonb_set(shop::jsonb, '{as_of}', to_jsonb((as_of - 3)::text))::json"))  # fmt: skip
    assert "These figures are old" in owner.get("/admin/metrics").text


@pytest.mark.usefixtures("kept")
def test_a_metrics_page_has_its_definition_and_can_be_asked_for_another_day(owner: Browser) -> None:
    page = owner.get("/admin/metrics/matured-repeat-rate").text
    assert "Worked out" in page
    for said in (
        "those who did ÷ those who could",
        "It misleads where nobody looks.",
        "A book.",
        "customers who could",
    ):
        assert said in page
    assert '<option value="all" selected>' in page
    yesterday = (utc_now() - timedelta(days=1)).date().isoformat()
    asked = owner.get(
        "/admin/metrics/matured-repeat-rate", params={"days": "90", "as_of": yesterday, "of": "all"}
    ).text
    assert "days: 90" in asked
    assert f'value="{yesterday}"' in asked
    assert "&amp;table=cohorts" in asked or "&table=cohorts" in asked
    assert f"rows.csv?days=90&amp;of=all&amp;as_of={yesterday}" in asked


@pytest.mark.usefixtures("kept")
def test_what_cannot_be_asked_keeps_what_was_typed(owner: Browser) -> None:
    answer = owner.get("/admin/metrics/matured-repeat-rate", params={"days": "0", "as_of": "soon"})
    assert answer.status_code == 422
    answer = owner.get("/admin/metrics/matured-repeat-rate", params={"days": "0"})
    assert answer.status_code == 422
    assert "days must be at least 1" in answer.text
    assert 'value="0"' in answer.text
    assert 'aria-invalid="true"' in answer.text


@pytest.mark.usefixtures("kept")
def test_rows_are_listed_and_come_as_files(owner: Browser) -> None:
    page = owner.get("/admin/metrics/at-risk/rows").text
    assert "3 rows" in page
    assert 'href="../../../admin/customers/GB%2F123"' in page
    assert HOSTILE not in page
    assert owner.get("/admin/metrics/at-risk/rows.csv").text.startswith('"customer_id"')
    assert owner.get("/admin/metrics/at-risk/rows.csv?table=survival").text.startswith('"day"')
    assert owner.get("/admin/metrics/at-risk/rows.parquet").content[:4] == b"PAR1"
    missing = owner.get("/admin/metrics/liability/rows")
    assert missing.status_code == 404


@pytest.mark.usefixtures("kept")
def test_whoever_may_look_may_look_and_nobody_else(office: Office, stranger: Browser) -> None:
    for path in (
        "/admin/metrics",
        "/admin/metrics/effect",
        "/admin/metrics/at-risk/rows",
        "/admin/metrics/at-risk/rows.csv",
    ):
        assert stranger.get(path).is_redirect, path
    with office.browser("viewer") as viewer:
        assert viewer.get("/admin/metrics").status_code == 200
        assert "Metrics" in viewer.get("/admin").text
        assert viewer.get("/admin/metrics/unknown").status_code == 404
