"""A metric's own page: its figure with what it takes to judge it, its definition, its breakdowns, and its rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.errors import Problem
from api.measuring import AS_OF, Asked, find_metric, measured, rows_of
from api.pages.admin.metrics.view import customer_cell, figures_of, markup
from api.pages.admin.render import admin_page, reading, relative
from api.pages.admin.session import Admin, signed_in
from api.routes.metrics import file_answer
from api.routing import with_slashes
from rewards.core import wording
from rewards.metrics.kept import LISTED_KEY, read_kept
from rewards.metrics.result import Metric, Result
from rewards.metrics.showing import parts
from rewards.metrics.showing.figures import MOST_ROWS, table_html

router = APIRouter()

_TABLE = "table"
_ADDRESS = "/admin/metrics/{name}"


class Worked(NamedTuple):
    """A metric that was worked out, for a page."""

    result: Result
    as_of: str
    currency: str
    drawings: Mapping[str, Any] | None
    failed: bool
    worked_out: str


@router.api_route(_ADDRESS, methods=["GET", "HEAD"], include_in_schema=False)
async def one(request: Request, name: str) -> Response:
    """Show it with what the address asks for; without that, what is kept of it."""
    admin = await signed_in(request)
    metric = find_metric(with_slashes(name))
    try:
        asked = Asked.read(metric, request.query_params)
        worked = await _kept(request, asked) or await _worked(request, asked)
    except Problem as problem:
        if problem.status != 422:
            raise
        return _asking(request, admin, metric, problem)
    result, definition = worked.result, metric.definition
    query = urlencode({**asked.arguments, **({AS_OF: asked.as_of} if asked.as_of else {})})
    tables = [table for table in result.tables if table.key != LISTED_KEY]
    return admin_page(
        request,
        admin,
        "metrics/one.html",
        metric=metric,
        errors={},
        asked=asked,
        as_of=worked.as_of,
        worked_out=worked.worked_out,
        told=markup(parts.told(result, definition, worked.currency, failed=worked.failed)),
        notes=markup(parts.notes(result.notes)),
        defined=markup(parts.defined(definition, result.parameters, is_open=True)),
        figures=list(
            zip(
                tables,
                figures_of(tables, worked.drawings, worked.currency, lambda path: relative(request, path)),
                strict=True,
            )
        ),
        query=query,
        shown=_shown(asked),
    )


@router.api_route(_ADDRESS + "/rows", methods=["GET", "HEAD"], include_in_schema=False)
async def rows(request: Request, name: str) -> Response:
    """List the first of the rows that it is made of."""
    admin = await signed_in(request)
    metric = find_metric(with_slashes(name))
    asked = Asked.read(metric, request.query_params)
    source, table = await rows_of(request, asked)
    cell = customer_cell(lambda path: relative(request, path))
    return admin_page(
        request,
        admin,
        "metrics/rows.html",
        metric=metric,
        table=table,
        count=len(table.rows),
        most=MOST_ROWS,
        as_of=wording.day(source.as_of),
        listed=markup(table_html(table, source.currency, cell=cell)),
        query=urlencode({**asked.arguments, **({AS_OF: asked.as_of} if asked.as_of else {})}),
    )


@router.get(_ADDRESS + "/rows.csv", include_in_schema=False)
async def rows_csv(request: Request, name: str) -> Response:
    """Send the rows, or a breakdown, as CSV."""
    return await _file(request, name, "csv")


@router.get(_ADDRESS + "/rows.parquet", include_in_schema=False)
async def rows_parquet(request: Request, name: str) -> Response:
    """Send the rows, or a breakdown, as Parquet."""
    return await _file(request, name, "parquet")


async def _file(request: Request, name: str, kind: str) -> Response:
    await signed_in(request)
    metric = find_metric(with_slashes(name))
    query = {each: value for each, value in request.query_params.items() if each != _TABLE}
    asked = Asked.read(metric, query)
    _, table = await rows_of(request, asked, request.query_params.get(_TABLE) or None)
    return file_answer(metric.name, table, kind)


async def _kept(request: Request, asked: Asked) -> Worked | None:
    """Return what is kept of a metric that is asked for as it is, None where nothing is."""
    if not asked.is_plain or not asked.metric.on_dashboard:
        return None

    def read(conn: Connection) -> Worked | None:
        kept = read_kept(conn, [asked.metric.name])
        entry = None if kept is None else kept.entries.get(asked.metric.name)
        if kept is None or entry is None:
            return None
        return Worked(
            entry.result,
            wording.day(kept.shop.as_of),
            kept.shop.currency,
            entry.drawings,
            entry.failed,
            wording.minute(kept.made_at, ZoneInfo(kept.shop.zone)),
        )

    return await reading(request, read)


async def _worked(request: Request, asked: Asked) -> Worked:
    source, result = await measured(request, asked)
    return Worked(result, wording.day(source.as_of), source.currency, None, False, "")


def _asking(request: Request, admin: Admin, metric: Metric, problem: Problem) -> Response:
    """Show the page again, with what was wrong with what it was asked."""
    errors = {
        each["path"].removeprefix("query").lstrip("."): each["message"] for each in problem.extras["errors"]
    }
    query = request.query_params
    return admin_page(
        request,
        admin,
        "metrics/one.html",
        422,
        metric=metric,
        errors=errors,
        as_of="",
        worked_out="",
        told="",
        notes="",
        defined=markup(parts.defined(metric.definition, {}, is_open=True)),
        figures=[],
        query="",
        shown={
            AS_OF: query.get(AS_OF, ""),
            **{each.name: query.get(each.name, "") for each in metric.parameters},
        },
    )


def _shown(asked: Asked) -> dict[str, str]:
    """Return what stands in the form's fields: what was asked for, else the defaults."""
    fields = {AS_OF: asked.as_of or ""}
    for each in asked.metric.parameters:
        default = f"{each.default:.12g}" if isinstance(each.default, float) else str(each.default)
        fields[each.name] = asked.arguments.get(each.name, "" if each.default is None else default)
    return fields
