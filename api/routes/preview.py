"""The preview: what a program would have done with the shop's own history, without publishing it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

from fastapi import Request, Response
from pydantic import TypeAdapter
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api import documentation as docs
from api.bodies import parse, read_json
from api.deps import authorize, services_of
from api.errors import preview_running, unavailable
from api.previewing import PREVIEW, PREVIEW_ANSWER, PreviewAnswer, PreviewBody
from api.routes.program import program_problem
from api.routing import RawRoute, json_answer
from rewards.core.clock import utc_now
from rewards.core.database import Database
from rewards.preview import replay
from rewards.preview.moves import preview_moves
from rewards.program.loading import ProgramInvalid, parse_document

#: A preview takes so long at most; the customers that were replayed by then stand for all.
MOST_SECONDS = 60.0
#: So many of those who would move tier are listed.
MOST_LISTED = 1_000
_PAUSE_SECONDS = 0.000_2
_SECONDS_BETWEEN_PAUSES = 0.000_5

_BODY = TypeAdapter(PreviewBody)
# One at a time in a process: a replay keeps a core busy, which requests need as well.
preview_thread = ThreadPoolExecutor(1, thread_name_prefix="rewards-preview")
is_previewing = Lock()


async def preview_program(request: Request) -> Response:
    """Replay the shop's history under a document, and compare."""
    await authorize(request, "admin")
    body = parse(_BODY, await read_json(request))
    database = services_of(request).database
    if not is_previewing.acquire(blocking=False):
        raise preview_running()
    is_abandoned = Event()

    def work() -> dict[str, Any]:
        try:
            return _preview(database, body, is_abandoned)
        finally:
            # Here, and not where the answer is awaited: who hung up leaves a replay that is still to end.
            is_previewing.release()

    try:
        return json_answer(await asyncio.get_running_loop().run_in_executor(preview_thread, work))
    except ProgramInvalid as invalid:
        raise program_problem(invalid) from None
    except (OperationalError, InterfaceError, PoolTimeoutError):
        raise unavailable() from None
    finally:
        is_abandoned.set()


class Pauses:
    """Lets requests have the interpreter now and then.

    A thread that computes gives it away once in five milliseconds only, and a request asks for it a dozen times.
    """

    def __init__(self) -> None:
        self._next_at = 0.0

    def __call__(self) -> None:
        """Rest for a moment, where it is time to."""
        if time.monotonic() >= self._next_at:
            time.sleep(_PAUSE_SECONDS)
            self._next_at = time.monotonic() + _SECONDS_BETWEEN_PAUSES


def _preview(database: Database, body: PreviewBody, is_abandoned: Event) -> dict[str, Any]:
    document = parse_document(body.document)
    now = utc_now()
    with database.engine.connect() as conn:
        moves = preview_moves(conn, document, now=now, pause=Pauses())
    with database.engine.connect() as conn:
        report = replay(
            conn,
            document,
            as_of=now,
            since=body.since,
            until=body.until,
            customers_sample=body.sample if isinstance(body.sample, int) else None,
            is_quick_enough=body.sample == "auto",
            seconds=MOST_SECONDS,
            is_stopped=is_abandoned.is_set,
            pause=Pauses(),
        )
    found = report.as_json()
    found["moves"] = None if moves is None else moves.as_json() | {"list": moves.listed(MOST_LISTED)}
    return found


def routes() -> list[RawRoute]:
    """Return the route."""
    return [
        RawRoute(
            "/v1/program/preview",
            preview_program,
            methods=["POST"],
            name="preview_program",
            operation_id="preview_program",
            **docs.documented(
                tag="program",
                summary="Preview a program",
                description="Replays the shop's own history under a document: points issued by rule and month, "
                "cost, liability and the customers most changed, before and after. Where there is a ladder, "
                "`moves` says who would move tier if it were published now. Writes nothing. Needs an admin "
                "key; takes a minute or a little longer, and runs one at a time.",
                body=PreviewBody,
                body_examples={"double points since January": PREVIEW},
                answer=PreviewAnswer,
                example=PREVIEW_ANSWER,
                problems=[429],
            ),
        )
    ]
