"""The application: routes, error handlers and the services that live as long as it does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from api import documentation
from api.bodies import EarlyRefusal, located
from api.coalescing import Coalescer, Limits
from api.deps import READERS, KeyChecker, Programs, Reader, Services
from api.errors import BodyTooLarge, Problem, http_problem, invalid_request, problem_response, request_id_of
from api.middleware import RequestFrame
from api.pages import admin as admin_pages
from api.pages import customer as customer_page
from api.pages import survey as survey_page
from api.pages.admin.program.previewing import stop_all as stop_previews
from api.routes import (
    batches,
    commands,
    customers,
    exposures,
    identities,
    metrics,
    operations,
    preview,
    profiles,
    program,
    reference,
    referrals,
    segments,
    standings,
    surveys,
    tags,
)
from api.routing import json_answer
from rewards.core.collector import tune_for_batches
from rewards.core.database import connect_database
from rewards.core.errors import Refusal
from rewards.core.settings import Settings, load_settings
from rewards.engine import Engine


class Application(FastAPI):
    """FastAPI with the few layers that a request of ours needs around its routes.

    What FastAPI would add (its own page for faults, telemetry, a body limit) our frame does, or the endpoint.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """Return the router in its layers, the frame outermost."""
        handlers = dict(self.exception_handlers)
        return RequestFrame(ExceptionMiddleware(AsyncExitStackMiddleware(self.router), handlers=handlers))


def create_app(settings: Settings | None = None, *, limits: Limits | None = None) -> FastAPI:
    """Return the application. It connects to the database when it is started, not before.

    Args:
        settings: where everything is; the operator's, unless given.
        limits: how much may wait in each process.
    """
    settings = settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = _start(settings, limits)
        app.state.services = services
        tune_for_batches()
        try:
            yield
        finally:
            stop_previews(services.database)
            await services.coalescer.close()
            services.reader.close()
            services.database.dispose()

    app = Application(
        title="Rewards engine",
        version=_version(),
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Its traces would carry addresses, which have customers' ids and pages' tokens in them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    # Straight onto the router, and first: these are the requests that come by the thousand.
    app.router.routes[:0] = [
        *commands.routes(),
        *batches.routes(),
        *customers.routes(),
        *program.routes(),
        *tags.routes(),
        *identities.routes(),
        *standings.routes(),
        *profiles.routes(),
        *referrals.routes(),
        *exposures.routes(),
        *preview.routes(),
    ]
    for module in (
        customers,
        standings,
        segments,
        referrals,
        surveys,
        program,
        metrics,
        operations,
        reference,
    ):
        app.include_router(module.router)
    for page in (customer_page, survey_page):
        app.include_router(page.router)
    admin_pages.install(app)
    documentation.install(app)
    _handle_errors(app)
    return app


def _start(settings: Settings, limits: Limits | None) -> Services:
    # One connection for commands, one for each reader, and one to spare.
    database = connect_database(settings, application_name="rewards api", pool_size=READERS + 2)
    engine = Engine(database)
    reader = Reader(database)
    coalescer = Coalescer(engine.execute, limits=limits)
    coalescer.start()
    return Services(settings, database, engine, coalescer, reader, KeyChecker(reader), Programs())


def _version() -> str:
    try:
        return version("rewards-engine")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(BodyTooLarge)
    async def too_large(request: Request, error: BodyTooLarge) -> Response:
        return EarlyRefusal.of(error, request.scope)

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        if admin_pages.is_admin_page(request):
            return admin_pages.problem_page(request, error)
        return problem_response(error, request.scope)

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> Response:
        return json_answer({**error.problem(), "request_id": request_id_of(request.scope)}, error.status)

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        return problem_response(invalid_request(map(located, error.errors())), request.scope)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if error.status_code == 405:
            headers["allow"] = ", ".join(sorted(_methods_at(app, request.url.path)))
        problem = http_problem(error.status_code, str(error.detail), headers)
        if admin_pages.is_admin_page(request):
            return admin_pages.problem_page(request, problem)
        return problem_response(problem, request.scope)


def _methods_at(app: FastAPI, path: str) -> set[str]:
    """Return what an address takes; the framework knows only of the first route that stands there."""
    here = (route for route in iter_route_contexts(app.routes) if route.path_regex.match(path))
    return {method for route in here for method in route.methods or ()}
