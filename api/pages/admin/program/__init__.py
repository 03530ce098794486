"""The program's pages: what is in force, the draft and its forms, its preview, publishing it, and all versions."""

from fastapi import APIRouter

from api.pages.admin.program import drafting, glance, moves, previewing, publishing, versions, yaml_page

router = APIRouter()
# The draft's pages come last: any other address below /admin/program/draft is one of theirs.
for module in (glance, yaml_page, previewing, moves, publishing, versions, drafting):
    router.include_router(module.router)
