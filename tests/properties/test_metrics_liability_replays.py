"""Whatever a shop did: what is owed at any instant is what its customers had then, and it rolls forward to the point.

The oracle takes customer by customer and entry by entry, in Python, from the rows that the engine wrote.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from loyalty_machine import Shop
from memory_ledger import Ledger
from sqlalchemy import Connection
from stored_ledger import OnDatabase, Server, read_ledger

from rewards.ledger.balances import Balance, Credit, Hold, Taking, balance_at
from rewards.ledger.state import Entry
from rewards.metrics.ledger_reading import open_points
from rewards.metrics.ledger_reading.clocks import Clock
from rewards.metrics.ledger_reading.open_points import OpenPoints, read_holders, read_open_points
from rewards.metrics.liability import METRICS
from rewards.metrics.source import Source
from rewards.program.versions import load_history

TICK = timedelta(microseconds=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


def counts(entry: Entry, at: datetime, clock: Clock) -> bool:
    if clock == "recorded":
        return entry.recorded_at < at
    return entry.occurred_at < at or (entry.occurred_at == at and entry.kind in ("expire", "unexpire"))


def what_was(ledger: Ledger, customer_id: str, at: datetime, clock: Clock) -> Balance:
    counted = {each.seq for each in ledger.entries[customer_id] if counts(each, at, clock)}
    lots = [
        Credit(
            lot.lot_seq,
            lot.points,
            LONG_AGO,
            lot.available_at,
            lot.expires_at,
            lot.expires_on_inactivity,
            lot.written_off,
        )
        for lot in ledger.lots[customer_id].values()
        if lot.lot_seq in counted
    ]
    takings = [
        Taking(LONG_AGO, *place, points)
        for place, points in ledger.consumptions[customer_id].items()
        if place[0] in counted
    ]
    holds = [
        Hold(seq, each.hold_expires_at)
        for seq, each in ledger.redemptions[customer_id].items()
        if each.hold_expires_at is not None
    ]
    return balance_at(lots, takings, holds, ledger.accounts[customer_id].inactive_at, at)


def figures(points: OpenPoints) -> tuple[int, ...]:
    return points.available, points.pending, points.on_hold, points.owed


class Owing(OnDatabase):
    """Checks what the metrics say of what the shop owed, instead of the ledger's laws."""

    checked = 0

    def __init__(self, server: Server, template: str, seed: int) -> None:
        super().__init__(server, template)
        self._random = Random(seed)
        self._is_checked = False

    def check(self, replayed: Ledger) -> None:
        if self._is_checked:
            return
        self._is_checked = True
        with self.database.engine.connect() as conn:
            stored = read_ledger(conn)
            for at in self._instants(stored):
                for clock in ("occurred", "recorded"):
                    self._check_instant(conn, stored, at, clock)
            self._check_roll_forward(conn, stored)

    def _instants(self, ledger: Ledger) -> Iterator[datetime]:
        known = {each.occurred_at for entries in ledger.entries.values() for each in entries}
        known |= {lot.expires_at for lots in ledger.lots.values() for lot in lots.values() if lot.expires_at}
        known |= {
            each.hold_expires_at
            for all_ in ledger.redemptions.values()
            for each in all_.values()
            if each.hold_expires_at
        }
        some = self._random.sample(sorted(known), min(len(known), 12))
        yield from some
        yield from (each + TICK for each in some[:4])
        first, last = min(known), max(known)
        yield from (first + self._random.random() * (last - first) for _ in range(4))

    def _check_instant(self, conn: Connection, ledger: Ledger, at: datetime, clock: Clock) -> None:
        balances = {each: what_was(ledger, each, at, clock) for each in ledger.accounts}
        expected = tuple(
            sum(getattr(each, name) for each in balances.values())
            for name in ("available", "pending", "held", "deficit")
        )
        found = read_open_points(conn, at, clock=clock)
        assert figures(found) == expected, (at, clock)
        by_expiry: dict[bool, int] = defaultdict(int)
        for balance in balances.values():
            for lot in balance.lots:
                by_expiry[lot.expires_at is None] += lot.points
        assert sum(cell.points for cell in found.cells if cell.life == -1) == by_expiry[True]
        holders = {each.customer_id: each for each in read_holders(conn, at, clock=clock)}
        for customer_id, balance in balances.items():
            has = (balance.available, balance.pending, balance.held, balance.deficit)
            held_by = holders.get(customer_id)
            assert (held_by[2:6] if held_by else (0, 0, 0, 0)) == has, (customer_id, at, clock)
        Owing.checked += any(expected)

    def _check_roll_forward(self, conn: Connection, ledger: Ledger) -> None:
        programs = load_history(conn)
        days = sorted({each.occurred_at.date() for entries in ledger.entries.values() for each in entries})
        for zone in (ZoneInfo("UTC"), NEW_YORK):
            since, as_of = sorted(self._random.choices(days, k=2))
            source = Source(None, as_of, zone, "USD", conn=conn, programs=programs)  # type: ignore[arg-type]
            for clock in ("occurred", "recorded"):
                result = METRICS[0](source, clock=clock, **{"from": since})
                tables = {table.key: table.rows for table in result.tables}
                points = {row[0]: row[1] for row in tables["roll-forward"]}
                money = {row[0]: row[2] for row in tables["roll-forward"]}
                for side in (points, money):
                    opening, *lines, closing = side.values()
                    assert opening + sum(lines) == closing
                at = source.ends_at
                begins = datetime.combine(since, datetime.min.time(), zone)
                for name, instant in (("Opening", begins), ("Closing", at)):
                    balances = [what_was(ledger, each, instant, clock) for each in ledger.accounts]
                    assert points[name] == sum(
                        each.available + each.pending + each.held - each.deficit for each in balances
                    )
                self._check_lines(points, ledger, begins, at, clock)
                assert result.numerator == sum(row[1] for row in tables["made-of"][:3])
                assert sum(row[1] for row in tables["age"]) == sum(row[1] for row in tables["expiry"])
                months = tables["by-month"]
                assert months[-1][-1] == points["Closing"]
                for month, following in itertools.pairwise(months):
                    assert month[-1] == following[1]
                for _, opening, *lines, closing in months:
                    assert opening + sum(lines) == closing

    def _check_lines(
        self, points: dict[str, int], ledger: Ledger, since: datetime, at: datetime, clock: Clock
    ) -> None:
        named = {
            "Issued": "award",
            "Redeemed": "redeem",
            "Taken back by refunds": "clawback",
            "Adjusted by hand": "adjust",
        }
        for name, kind in named.items():
            assert points[name] == sum(
                each.points
                for entries in ledger.entries.values()
                for each in entries
                if each.kind == kind and counts(each, at, clock) and not counts(each, since, clock)
            )


@pytest.mark.slow
def test_what_is_owed_is_what_customers_had(
    server: Server, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = iter(range(1_000_000))
    Owing.checked = 0
    worked_out_alone: list[str] = []

    def spied(conn: Connection, at: datetime, clock: Clock, customers: list[str]) -> Any:
        worked_out_alone.extend(customers)
        return balances(conn, at, clock, customers)

    balances = open_points._balances
    monkeypatch.setattr(open_points, "_balances", spied)
    run_state_machine_as_test(
        lambda: Shop(Owing(server, template, next(seeds))),
        settings=settings(
            max_examples=8,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=[Phase.generate],
            print_blob=True,
        ),
    )
    assert Owing.checked > 30
    # Both ways were taken: most customers by the aggregates, and some of whom these cannot tell.
    assert 5 < len(worked_out_alone) < Owing.checked
