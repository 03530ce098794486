"""The program at a glance: what is in force, what comes, and how the draft stands."""

from fastapi import APIRouter, Request, Response

from api.pages.admin.program.desk import desk_of, program_page
from api.pages.admin.session import signed_in
from api.pages.program_text import how_it_works
from rewards.applying.progress import latest_application
from rewards.program.differences import history_differences

router = APIRouter()


@router.api_route("/admin/program", methods=["GET", "HEAD"], include_in_schema=False)
async def overview(request: Request) -> Response:
    """Show it."""
    admin = await signed_in(request)
    desk, application = await desk_of(request, lambda conn, _desk: latest_application(conn))
    document = desk.checked.document if desk.draft is not None else None
    return program_page(
        request,
        admin,
        "overview.html",
        desk,
        changes=history_differences(desk.based_on.document, document) if document is not None else [],
        remarks=[desk.linked(each) for each in desk.remarks] if desk.draft is not None else [],
        application=application,
        rules=how_it_works(desk.in_force.document),
        may_edit=admin.may("program.edit"),
    )
