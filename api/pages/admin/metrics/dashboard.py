"""The dashboard: what customers do, what the program costs and changes, from figures that are worked out beforehand."""

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.pages.admin.metrics.view import View, dashboard_view
from api.pages.admin.render import admin_page, reading, relative
from api.pages.admin.session import signed_in
from rewards.core.clock import utc_now
from rewards.metrics.kept import read_kept
from rewards.metrics.showing import words

router = APIRouter()


@router.api_route("/admin/metrics", methods=["GET", "HEAD"], include_in_schema=False)
async def dashboard(request: Request) -> Response:
    """Show it."""
    admin = await signed_in(request)
    now = utc_now()

    def read(conn: Connection) -> View | None:
        kept = read_kept(conn)
        return None if kept is None else dashboard_view(kept, now, lambda path: relative(request, path))

    return admin_page(
        request, admin, "metrics/dashboard.html", view=await reading(request, read), all_grades=words.GRADES
    )
