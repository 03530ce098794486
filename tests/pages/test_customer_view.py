"""What the customer's page shows: dates, groups, and what is left of what was earned."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.pages.customer_view import MOST_EVENTS, CustomerView, customer_view
from rewards.ledger.balances import Credit, Hold, Taking, balance_at
from rewards.ledger.history import HistoryLine
from rewards.program.document import ProgramDocument

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LONDON = ZoneInfo("Europe/London")


def document(**redemption: int) -> ProgramDocument:
    data = {
        "schema_version": 1,
        "name": "Tea Club",
        "currency": "GBP",
        "timezone": "Europe/London",
        "redemption": redemption,
    }
    return ProgramDocument.model_validate(data)


def credit(points: int, *, ready: datetime = NOW, until: datetime | None = None, seq: int = 1) -> Credit:
    return Credit(seq, points, NOW - DAY, ready, until, False)


def line(seq: int, points: int = 10, **more: Any) -> HistoryLine:
    facts: dict[str, Any] = {
        "kind": "award",
        "balance_after": points,
        "sentence": "Earned",
        "note": None,
        "occurred_at": (NOW - DAY).astimezone(LONDON),
        "zone": LONDON,
        "remaining": points,
        "available_at": NOW - DAY,
        "expires_at": None,
    }
    return HistoryLine(seq=seq, points=points, **{**facts, **more})


def view(
    lots: list[Credit] | None = None,
    lines: list[HistoryLine] | None = None,
    *,
    entries: int = 0,
    page_size: int = 3,
    holds: list[Hold] | None = None,
    takings: list[Taking] | None = None,
    **redemption: int,
) -> CustomerView:
    balance = balance_at(lots or [], takings or [], holds or [], None, NOW)
    return customer_view(
        "c", balance, document(**redemption), lines or [], entries=entries, page_size=page_size
    )


def events(*lots: Credit, **more: Any) -> list[tuple[str, int, str, str]]:
    told = view(list(lots), **more).events
    return [
        (each.kind, each.points, each.day.replace("\N{NO-BREAK SPACE}", " "), each.nearness) for each in told
    ]


def outlook(**more: Any) -> str:
    ((_, (row,)),) = view(lines=[line(1, **more)]).months
    return row.outlook.replace("\N{NO-BREAK SPACE}", " ")


class TestWhatHappensNext:
    def test_expiry_at_midnight_is_the_end_of_the_day_before(self) -> None:
        midnight = datetime(2027, 6, 30, 23, tzinfo=UTC)  # the first of July in London
        assert events(credit(5, until=midnight)) == [("expire", 5, "30 Jun 2027", "")]

    def test_what_happens_on_one_day_is_one_event(self) -> None:
        morning, evening = NOW + 50 * DAY, NOW + 50 * DAY + timedelta(hours=6)
        assert events(credit(5, until=morning, seq=1), credit(7, until=evening, seq=2)) == [
            ("expire", 12, "21 Dec 2026", "")
        ]

    def test_what_is_near_says_how_near(self) -> None:
        lots = [
            credit(1, ready=NOW + timedelta(hours=1), seq=1),
            credit(2, ready=NOW + timedelta(hours=13), seq=2),
            credit(3, ready=NOW + 9 * DAY, seq=3),
        ]
        arrivals = [event for event in events(*lots) if event[0] == "arrive"]
        assert arrivals == [
            ("arrive", 1, "1 Nov 2026", "today"),
            ("arrive", 2, "2 Nov 2026", "tomorrow"),
            ("arrive", 3, "10 Nov 2026", "in 9 days"),
        ]

    def test_points_that_never_expire_are_there_to_keep(self) -> None:
        assert events(credit(5)) == [("keep", 5, "", "")]

    def test_a_hold_gives_its_points_back(self) -> None:
        told = events(credit(5), takings=[Taking(NOW - DAY, 2, 1, 2, 3)], holds=[Hold(2, NOW + DAY)])
        assert told == [("return", 3, "2 Nov 2026", "tomorrow"), ("keep", 2, "", "")]

    def test_what_is_far_off_is_summed_up(self) -> None:
        lots = [credit(1, until=NOW + month * 31 * DAY, seq=month) for month in range(1, 21)]
        told = events(*lots)
        assert len(told) == MOST_EVENTS + 1
        assert told[-1][0] == "later"
        assert told[-1][3] == "at the latest"
        assert sum(each[1] for each in told) == 20


class TestOutlook:
    def test_tells_when_points_are_ready_and_until_when(self) -> None:
        assert (
            outlook(available_at=NOW + DAY, expires_at=NOW + 30 * DAY)
            == "ready on 2 Nov 2026, spend by 1 Dec 2026"
        )

    def test_tells_how_much_is_left(self) -> None:
        assert outlook(remaining=4, expires_at=NOW + 30 * DAY) == "4 left, spend by 1 Dec 2026"

    @pytest.mark.parametrize("facts", [{"remaining": 0, "expires_at": NOW + DAY}, {"expires_at": NOW}])
    def test_tells_nothing_of_points_that_are_gone(self, facts: dict[str, Any]) -> None:
        assert outlook(**facts) == ""


class TestPaging:
    @pytest.mark.parametrize(
        ("seqs", "newer", "older"),
        [
            ([8, 7, 6], None, "?before=6"),
            ([5, 4, 3], "?", "?before=3"),
            ([4, 3, 2], "?before=8", "?before=2"),
            ([2, 1], "?before=6", None),
            ([], "?", None),
        ],
    )
    def test_leads_back_and_forth(self, seqs: list[int], newer: str | None, older: str | None) -> None:
        paging = view(lines=[line(seq) for seq in seqs], entries=8).paging
        assert (paging.newer, paging.older) == (newer, older)

    def test_of_nothing_leads_nowhere(self) -> None:
        paging = view().paging
        assert (paging.newer, paging.older) == (None, None)


def test_too_few_points_to_spend_say_how_many_it_takes() -> None:
    assert (
        view([credit(499)], minimum_points=500).hint
        == "You can start spending at 500\N{NO-BREAK SPACE}points."
    )
    assert view([credit(500)], minimum_points=500).hint == ""
    assert view(minimum_points=500).hint == ""


def test_history_is_grouped_by_the_month_on_the_programs_clock() -> None:
    # Half past midnight on the first of July in London is still June in UTC.
    july = datetime(2026, 6, 30, 23, 30, tzinfo=UTC).astimezone(LONDON)
    months = view(lines=[line(2, occurred_at=july), line(1, occurred_at=july - DAY)]).months
    assert [(name, [row.line.seq for row in rows]) for name, rows in months] == [
        ("July 2026", [2]),
        ("June 2026", [1]),
    ]
