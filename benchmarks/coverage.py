"""(g) Effects: how often their intervals hold the truth, over many programs whose truth is known.

Orders go in as a shop sends them, roll-ups are made of them, and the effect comes out of the report's own code. Most
programs are made of a few shops: the orders are imported once, then each program is published with a salt of its own,
its exposures are worked out, and the effect is read; all of it in a transaction that is rolled back. Where the program
adds purchases, those of who is held out are taken away first. A smaller number of programs goes all the way, each in a
database of its own: the holdout is published, orders are imported with their awards, the job runs, the report is read.

Beside it stands what is wrong: members against everybody else, where nothing but chance and zeal made members.
"""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from benchmarks.figures import Figure
from benchmarks.placebo_shops import (
    ADDED,
    ENDS,
    NOW,
    STARTS,
    PlaceboShop,
    Truth,
    make_shop,
    truth_of,
    write_members,
    write_orders,
)
from benchmarks.shop import shop
from rewards.core.database import Database
from rewards.facts.exposures import refresh_exposures
from rewards.facts.refresh import refresh
from rewards.importing.members import import_members
from rewards.importing.running import import_orders
from rewards.metrics.effect.always_valid import reach
from rewards.metrics.effect.members import METRICS as MEMBERS_METRICS
from rewards.metrics.effect.randomised import METRICS as EFFECT_METRICS
from rewards.metrics.orders import Orders
from rewards.metrics.result import Result
from rewards.metrics.source import Source
from rewards.metrics.store import DatabaseStore, open_source, read_orders
from rewards.program.document import ProgramDocument
from rewards.program.holdout import arm_of
from rewards.program.loading import load_text
from rewards.program.versions import publish

LIFT = 0.1
#: Weekly looks at a running trial: half a year of them.
LOOKS = 26
OUTCOMES = ("repeat-rate", "revenue-per-customer")
AS_OF: date = (ENDS - timedelta(days=1)).date()
_Z = 1.959963984540054


class Size(NamedTuple):
    """How much is run: shops, programs on each, their customers, and programs that go all the way."""

    shops: int
    programs: int
    customers: int
    whole: int


FULL = Size(shops=8, programs=125, customers=3_000, whole=20)
QUICK = Size(shops=2, programs=50, customers=2_000, whole=4)
#: For the suite: what it takes to see that the pipeline is whole.
SHORT = Size(shops=1, programs=12, customers=1_200, whole=1)

_PROGRAM = """
schema_version: 1
name: Placebo
currency: GBP
timezone: UTC
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
"""


def _program(number: int, salt: str, share_pct: int) -> ProgramDocument:
    return load_text(
        _PROGRAM
        + f"holdout: {{id: trial-{number}, salt: {salt}, share_pct: {share_pct}, eligible: all, "
        + f"starts_at: '{STARTS.date()}', planned_end: '{ENDS.date()}'}}\n"
    )


@dataclass
class Tally:
    """What became of the programs: counts, by outcome, and the gap that members show.

    Attributes:
        programs: how many told a figure.
        held: in how many the interval at the registered end held the truth.
        raw: the same of the difference that nothing was taken out of.
        peeked: in how many weekly looks at the running interval ever excluded the truth.
        peeked_fixed: the same, had the looks been at the usual interval.
        found: in how many the interval at the end excluded zero.
        told_nothing: how many had no figure, as one in a thousand whose arms are too uneven by accident.
        gaps: what members had more than others, in shares.
    """

    programs: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    raw: dict[str, int] = field(default_factory=dict)
    peeked: dict[str, int] = field(default_factory=dict)
    peeked_fixed: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    told_nothing: int = 0
    gaps: list[float] = field(default_factory=list)

    def count(self, outcome: str, result: Result, truth: float) -> None:
        """Count what one program's report says of an outcome."""
        if result.interval is None:
            self.told_nothing += 1
            return
        tables = {table.key: table.rows for table in result.tables}
        looks = tables["over-time"][:LOOKS]
        low, high = tables["estimates"][0][2:4]
        seen = {
            "programs": True,
            "held": result.interval.low <= truth <= result.interval.high,
            "raw": low <= truth <= high,
            "peeked": any(not look[2] <= truth <= look[3] for look in looks),
            "peeked_fixed": any(_excludes(look, truth) for look in looks),
            "found": not result.interval.low <= 0 <= result.interval.high,
        }
        for name, yes in seen.items():
            counts: dict[str, int] = getattr(self, name)
            counts[outcome] = counts.get(outcome, 0) + yes

    def add(self, other: "Tally") -> None:
        """Add what another process has counted."""
        for name in ("programs", "held", "raw", "peeked", "peeked_fixed", "found"):
            counts: dict[str, int] = getattr(self, name)
            for outcome, count in getattr(other, name).items():
                counts[outcome] = counts.get(outcome, 0) + count
        self.told_nothing += other.told_nothing
        self.gaps += other.gaps


def _excludes(look: Sequence[Any], truth: float) -> bool:
    """Say whether the usual interval of one look excludes the truth: the same standard error, 1.96 times."""
    _, difference, low, high, customers = look
    se = (high - low) / 2 / reach(customers)
    return bool(abs(difference - truth) > _Z * se)


class _ReadAnew:
    """The facts as this transaction has them, which is not as the process has kept them."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def orders(self) -> Orders:
        return read_orders(self._conn)

    def names(self, units: Sequence[int]) -> list[str]:
        return DatabaseStore(self._conn).names(units)


def on_one_shop(seed: int, size: Size, lift: float) -> Tally:
    """Run programs on one shop, in a database of its own: each another draw of the same customers."""
    made = make_shop(seed, size.customers, lift)
    with shop() as place:
        return count_programs(place.database, made, seed, size, lift)


def count_programs(database: Database, made: PlaceboShop, seed: int, size: Size, lift: float) -> Tally:
    """Import a shop's orders without awards, then publish and read programs one after the other."""
    _publish(database, load_text(_PROGRAM))
    _import(database, made, set(), award=False)
    refresh(database, NOW)
    truth = truth_of(made) if lift else Truth(0.0, 0.0)
    tally = Tally(gaps=[_gap(database)])
    for number in range(size.programs):
        salt = f"bench-{seed}-{number}-of-the-placebos"
        share_pct = (50, 20)[number % 2]
        with database.engine.connect() as conn, conn.begin() as transaction:
            document = _program(number, salt, share_pct)
            publish(conn, document, effective_from=STARTS, now=NOW, actor="bench")
            refresh_exposures(conn, None)
            if lift:
                _take_away(conn)
            source = open_source(conn, as_of=AS_OF, now=NOW)
            if lift:
                source.store = _ReadAnew(conn)
            _read(tally, source, truth)
            transaction.rollback()
    return tally


def _take_away(conn: Connection) -> None:
    """Undo what the program would not have brought about: the added purchases of who is held out."""
    conn.execute(
        text(
            "DELETE FROM purchases AS p USING exposures AS e "
            "WHERE e.customer_id = p.customer_id AND e.arm = 'holdout' AND p.order_id LIKE :added"
        ),
        {"added": f"{ADDED}%"},
    )


def _read(tally: Tally, source: Source, truth: Truth) -> None:
    (effect,) = EFFECT_METRICS
    for outcome, true in zip(OUTCOMES, truth, strict=True):
        tally.count(outcome, effect(source, outcome=outcome), true)


def all_the_way(seed: int, size: Size, lift: float) -> Tally:
    """Run one program from its publication to its report, in a database of its own."""
    made = make_shop(seed, size.customers, lift)
    with shop() as place:
        return count_whole(place.database, made, seed, lift)


def count_whole(database: Database, made: PlaceboShop, seed: int, lift: float) -> Tally:
    """Publish a holdout, import orders with their awards, run the job, and read the report.

    Raises:
        RuntimeError: points went to who is held out, or somebody of the program's arm has none.
    """
    salt = f"bench-{seed}-all-the-way-down"
    customers = {each.customer for each in made.orders}
    held_out = {each for each in customers if arm_of(salt, made.customer_id(each), 50) == "holdout"}
    _publish(database, _program(0, salt, 50))
    _import(database, made, held_out, award=True)
    refresh(database, NOW)
    truth = truth_of(made) if lift else Truth(0.0, 0.0)
    tally = Tally(gaps=[_gap(database)])
    with database.engine.connect() as conn:
        source = open_source(conn, as_of=AS_OF, now=NOW)
        _read(tally, source, truth)
        (effect,) = EFFECT_METRICS
        notes = effect(source).notes
    if any("got points all the same" in note or "program's arm took part" in note for note in notes):
        raise RuntimeError(f"the arms were not kept apart: {notes}")
    return tally


def _publish(database: Database, document: ProgramDocument) -> None:
    with database.engine.begin() as conn:
        publish(conn, document, effective_from=STARTS - timedelta(days=900), now=NOW, actor="bench")


def _import(database: Database, made: PlaceboShop, held_out: set[int], *, award: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        orders, members = Path(folder) / "orders.csv", Path(folder) / "members.csv"
        write_orders(made, orders, held_out)
        write_members(made, members)
        report = import_orders(orders, database, now=NOW, award=award, processes=1)
        joined = import_members(members, database, now=NOW)
    if report.rejected or joined.rejected:
        raise RuntimeError(f"rows were rejected: {report.rejected[:3]} {joined.rejected[:3]}")


def _gap(database: Database) -> float:
    """Return how much more often members than others have bought twice within the year."""
    (metric,) = MEMBERS_METRICS
    with database.engine.connect() as conn:
        result = metric(open_source(conn, as_of=AS_OF, now=NOW))
    return float(result.value or 0.0)


def bench_coverage(size: Size = FULL) -> list[Figure]:
    """Run placebo programs and programs that add 10 % of purchases; tell how often intervals hold the truth."""
    figures: list[Figure] = []
    for lift in (0.0, LIFT):
        tally = _run(size, lift)
        figures += _figures(tally, lift)
    return figures


def bench_quickly() -> list[Figure]:
    """Run a tenth of them: enough to see an interval that is badly wrong."""
    return bench_coverage(QUICK)


def _run(size: Size, lift: float) -> Tally:
    tally = Tally()
    # As many processes as shops can use, each with a database of its own.
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        base = 1_000 if lift else 0
        tasks = [pool.submit(on_one_shop, base + seed, size, lift) for seed in range(size.shops)]
        tasks += [pool.submit(all_the_way, base + 500 + seed, size, lift) for seed in range(size.whole)]
        for task in tasks:
            tally.add(task.result())
    return tally


def _figures(tally: Tally, lift: float) -> Iterator[Figure]:
    kind = f"+{lift:.0%} orders" if lift else "placebo"
    for outcome in OUTCOMES:
        rounds = tally.programs[outcome]
        for name, counts in (("adjusted", tally.held), ("raw", tally.raw)):
            yield _figure(
                f"{kind}, {outcome}, {name}: interval holds the truth",
                counts[outcome],
                rounds,
                0.95,
                "promised",
            )
        if lift:
            # What is true of the looks before the end differs, since purchases are still to come.
            yield _figure(f"{kind}, {outcome}: told from nothing", tally.found[outcome], rounds)
            continue
        looks = f"{kind}, {outcome}: wrong in {LOOKS} weekly looks"
        yield _figure(f"{looks}, always-valid (at most)", tally.peeked[outcome], rounds, 0.05, "at most")
        yield _figure(f"{looks}, usual interval", tally.peeked_fixed[outcome], rounds, 0.05, "meant")
    if not lift:
        gap = sum(tally.gaps) / len(tally.gaps) * 100
        yield Figure(
            "placebo: members above others (evidence D, wrong)",
            "percentage points",
            gap,
            "the truth",
            0.0,
            rounds=len(tally.gaps),
        )
    if tally.told_nothing:
        yield Figure(
            f"{kind}: reports without a figure", "reports", tally.told_nothing, rounds=tally.told_nothing
        )


def _figure(name: str, count: int, rounds: int, promised: float | None = None, beside: str = "") -> Figure:
    share = count / rounds
    if promised is None:
        return Figure(name, "in 1,000", share * 1_000, rounds=rounds)
    return Figure(
        name, "in 1,000", share * 1_000, beside, promised * 1_000, share / promised, rounds, target=1.0
    )
