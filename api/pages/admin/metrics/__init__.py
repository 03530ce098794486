"""The metrics: a dashboard of those that are worked out beforehand, and a page for each of them all."""

from fastapi import APIRouter

from api.pages.admin.metrics import dashboard, one

router = APIRouter()
router.include_router(dashboard.router)
router.include_router(one.router)
