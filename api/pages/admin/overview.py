"""The overview: how the program stands, and what waits for somebody."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from sqlalchemy import Connection

from api.deps import services_of
from api.pages.admin.charts import Bar, bar_chart
from api.pages.admin.render import admin_page, reading
from api.pages.admin.session import signed_in
from rewards.admins.checks import last_check
from rewards.admins.figures import (
    Figures,
    Week,
    job_states,
    read_figures,
    referrals_to_judge,
)
from rewards.core import wording
from rewards.core.clock import utc_now
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.ladder import Ladder
from rewards.program.redemption import value_minor, valued

router = APIRouter()

#: The figures take a pass over half a year of entries: they are worked out once in so long.
_KEPT_SECONDS = 60.0


class Todo(NamedTuple):
    """Something that waits for somebody."""

    text: str
    path: str
    label: str
    kind: str


class TierShare(NamedTuple):
    """How many of the customers are in a tier."""

    tier_id: str
    name: str
    customers: int
    percent: int


class Program(NamedTuple):
    """What is in force, and what comes next."""

    name: str
    version: int
    since: str
    worth: str
    coming: Sequence[tuple[int, str]]


@router.api_route("/admin", methods=["GET", "HEAD"], include_in_schema=False)
async def overview(request: Request) -> Response:
    """Show it."""
    admin = await signed_in(request)
    now = utc_now()
    programs = services_of(request).programs

    def read(conn: Connection) -> tuple[ProgramHistory, list[Todo]]:
        return programs.current(conn), _todos(conn, now)

    history, todos = await reading(request, read)
    document = history.in_force(now).document
    figures, chart = await _figures(request, history)
    return admin_page(
        request,
        admin,
        "overview.html",
        todos=todos,
        program=_program(history, figures, now),
        figures=figures,
        chart=chart,
        tiers=_tiers(document.ladder, figures.in_tiers),
        as_of=wording.minute(figures.at, document.zone),
        zone=document.timezone,
    )


class _Drawn(NamedTuple):
    figures: Figures
    chart: Markup
    kept_until: float


async def _figures(request: Request, history: ProgramHistory) -> tuple[Figures, Markup]:
    """Return the figures and their chart, those of a moment ago where there are some."""
    state = request.app.state
    if not hasattr(state, "admin_figures_lock"):
        state.admin_figures_lock, state.admin_figures = asyncio.Lock(), None
    async with state.admin_figures_lock:
        drawn: _Drawn | None = state.admin_figures
        if drawn is None or time.monotonic() >= drawn.kept_until:
            zone = history.in_force(utc_now()).document.zone
            figures = await reading(request, lambda conn: read_figures(conn, zone, utc_now()))
            chart = await services_of(request).reader.quote(lambda: _chart(figures.weeks))
            drawn = state.admin_figures = _Drawn(figures, chart, time.monotonic() + _KEPT_SECONDS)
    return drawn.figures, drawn.chart


def _tiers(ladder: Ladder | None, customers: Mapping[str | None, int]) -> list[TierShare]:
    """Return the ladder from the top, each tier with its customers."""
    if ladder is None:
        return []
    whole = max(sum(customers.values()), 1)
    shares = [(tier.id, tier.name, customers.get(tier.id, 0)) for tier in ladder.tiers]
    return [TierShare(*each, round(100 * each[2] / whole)) for each in reversed(shares)]


def _chart(weeks: Sequence[Week]) -> Markup:
    bars = [
        Bar(wording.day_and_month(week.monday), wording.day(week.monday), (week.awarded, week.redeemed))
        for week in weeks
    ]
    return bar_chart(
        bars,
        f"Points a week, the last {len(weeks)} weeks",
        series=("Awarded", "Redeemed"),
        heading="Week from",
    )


def _program(history: ProgramHistory, figures: Figures, now: datetime) -> Program:
    version = history.in_force(now)
    document = version.document
    worth = wording.money(_worth_minor(document, figures), document.currency)

    def when(each: ProgramVersion) -> str:
        return wording.minute(each.effective_from, document.zone)

    coming = [(each.version, when(each)) for each in history.versions if each.effective_from > now]
    return Program(document.name, version.version, when(version), worth, coming)


def _worth_minor(document: ProgramDocument, figures: Figures) -> int:
    """Return what the points are worth, each customer's in the tier that they are in."""
    ladder = document.ladder
    return sum(
        value_minor(
            valued(document.redemption, None if ladder is None else ladder.tier(tier)), max(points, 0)
        )
        for tier, points in figures.by_tier.items()
    )


def _todos(conn: Connection, now: datetime) -> list[Todo]:
    todos = []
    flagged = referrals_to_judge(conn)
    if flagged:
        said = "1 referral waits" if flagged == 1 else f"{wording.number(flagged)} referrals wait"
        todos.append(Todo(f"{said} for a judgement.", "/admin/referrals", "Review", "warn"))
    states = job_states(conn, now)
    todos += [
        Todo(f"The job {state.job.name} failed: {state.detail}", "/admin/system", "Look", "bad")
        for state in states
        if state.ok is False
    ]
    late = [state.job.name for state in states if state.is_late(now)]
    if late:
        names = ", ".join(late)
        todos.append(Todo(f"No scheduler takes the turns of: {names}.", "/admin/system", "Look", "bad"))
    check = last_check(conn)
    if check is not None and check.report is not None and not check.ok:
        todos.append(Todo("The last check of the ledger found breaks.", "/admin/system", "Look", "bad"))
    return todos
