"""Metrics: which there are, what each comes to, and the rows that it is made of."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from api import documentation as docs
from api import examples, metric_schemas
from api.csv_files import csv_lines
from api.deps import Reading
from api.errors import Problem
from api.measuring import Asked, find_metric, measured, rows_of
from api.routing import json_answer, with_slashes
from rewards.metrics.registry import all_metrics
from rewards.metrics.result import Table
from rewards.metrics.showing.parquet import ParquetMissing, parquet_of
from rewards.metrics.showing.wire import metric_json, plain, result_json

router = APIRouter()

#: So many rows are written at once.
_LINES_AT_ONCE = 5_000
_PARQUET = "application/vnd.apache.parquet"
_CSV = "text/csv"

_ABOUT_OTHERS = "Each metric takes more of its own, such as `days` or `unit`: `GET /v1/metrics` says which."
Name = Annotated[
    str, Path(max_length=64, description="As `GET /v1/metrics` lists it.", examples=["repeat-rate"])
]
AsOf = Annotated[
    str | None,
    Query(
        max_length=64,
        description="The last day that counts, on the shop's calendar; the last whole day unless given. An instant "
        "stands for its day.",
        examples=["2026-10-31"],
    ),
]
From = Annotated[
    str | None,
    Query(
        alias="from", max_length=32, description="First day of the metric's window.", examples=["2026-01-01"]
    ),
]
To = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=32,
        description="The day after the window's last one; for a metric without a window, the day after `as_of`.",
        examples=["2026-11-01"],
    ),
]
TableKey = Annotated[
    str | None,
    Query(max_length=64, description="A breakdown of the metric; the rows that it is made of unless given."),
]


async def _asked(
    request: Request,
    name: Name,
    as_of: AsOf = None,  # noqa: ARG001 - these three are named for the document; a metric takes others as well
    first: From = None,  # noqa: ARG001
    to: To = None,  # noqa: ARG001
) -> Asked:
    """Return what an address asks of a metric."""
    query = {each: value for each, value in request.query_params.items() if each != "table"}
    return Asked.read(find_metric(with_slashes(name)), query)


AskedFor = Annotated[Asked, Depends(_asked)]


@router.get(
    "/v1/metrics",
    operation_id="metrics",
    **docs.documented(
        tag="metrics",
        summary="List the metrics",
        description="Their names, what each means, and what it can be asked with. Needs any key.",
        answer=metric_schemas.MetricsAnswer,
        example=examples.METRICS_ANSWER,
    ),
)
async def metrics(_key: Reading) -> Any:
    """Return all metrics."""
    return json_answer({"metrics": [metric_json(each) for each in all_metrics().values()]})


@router.get(
    "/v1/metrics/{name}",
    operation_id="metric",
    **docs.documented(
        tag="metrics",
        summary="Work out a metric",
        description=(
            "With its counts, its interval, what it rests on, and its breakdowns; or null and why there is no figure. "
            + _ABOUT_OTHERS
        ),
        answer=metric_schemas.MetricAnswer,
        example=examples.METRIC_ANSWER,
        problems=[404, 422],
    ),
)
async def metric(request: Request, _key: Reading, asked: AskedFor) -> Any:
    """Return what a metric comes to."""
    source, result = await measured(request, asked)
    return json_answer(
        result_json(asked.metric.definition, result, as_of=source.as_of, currency=source.currency)
    )


def _file(kind: Literal["csv", "parquet"], media_type: str) -> dict[str, Any]:
    """Return how a file of rows is documented."""
    told = docs.documented(
        tag="metrics",
        summary=f"Download a metric's rows as {'CSV' if kind == 'csv' else 'Parquet'}",
        description=(
            "The customers or orders that it is made of, or with `table` one of its breakdowns. "
            + (
                "Columns are named by their keys; a text that a spreadsheet would take for a formula begins with an "
                "apostrophe. "
                if kind == "csv"
                else "Needs the extra `scale` on the server; where it is missing, the answer is 501. "
            )
            + _ABOUT_OTHERS
        ),
        answer=metric_schemas.MetricAnswer,
        example={},
        problems=[404, 422] if kind == "csv" else [404, 422, 501],
    )
    example = "customer_id,counted\n" if kind == "csv" else "PAR1…"
    schema = {"type": "string"} if kind == "csv" else {"type": "string", "format": "binary"}
    told["responses"][200]["content"] = {media_type: {"schema": schema, "example": example}}
    told["response_description"] = "The rows."
    del told["response_model"]
    return {**told, "response_class": Response, "response_model": None, "operation_id": f"metric_rows_{kind}"}


@router.get("/v1/metrics/{name}/rows.csv", **_file("csv", _CSV))
async def rows_csv(request: Request, _key: Reading, asked: AskedFor, table: TableKey = None) -> Any:
    """Return a metric's rows as CSV."""
    return file_answer(asked.metric.name, (await rows_of(request, asked, table or None))[1], "csv")


@router.get("/v1/metrics/{name}/rows.parquet", **_file("parquet", _PARQUET))
async def rows_parquet(request: Request, _key: Reading, asked: AskedFor, table: TableKey = None) -> Any:
    """Return a metric's rows as Parquet."""
    return file_answer(asked.metric.name, (await rows_of(request, asked, table or None))[1], "parquet")


def file_answer(name: str, table: Table, kind: str) -> Response:
    """Return a table as a file to download.

    Raises:
        Problem: ``parquet-missing``.
    """
    safe = re.sub(r"[^\w-]+", "-", f"{name}-{table.key}")
    headers = {
        "content-disposition": f"attachment; filename={quote(safe)}.{kind}",
        "cache-control": "no-store",
    }
    if kind == "csv":
        return StreamingResponse(_lines(table), media_type=f"{_CSV}; charset=utf-8", headers=headers)
    try:
        return Response(parquet_of(table), media_type=_PARQUET, headers=headers)
    except ParquetMissing as error:
        raise Problem(501, "parquet-missing", "This server writes no Parquet", str(error)) from None


def _lines(table: Table) -> Iterator[str]:
    yield csv_lines([[column.key for column in table.columns]])
    for start in range(0, len(table.rows), _LINES_AT_ONCE):
        part = table.rows[start : start + _LINES_AT_ONCE]
        yield csv_lines([plain(cell) for cell in row] for row in part)
