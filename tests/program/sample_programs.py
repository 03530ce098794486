"""A small valid document, and others made from it."""

from typing import Any

from rewards.program.document import ProgramDocument

PER_POUND = {
    "id": "base",
    "activity": "purchase",
    "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
}


def program_data(**sections: Any) -> dict[str, Any]:
    """Return a document as plain data, with ``sections`` in place of its own."""
    return {
        "schema_version": 1,
        "name": "Tea Club",
        "currency": "GBP",
        "timezone": "Europe/London",
        "earn": [PER_POUND],
        "no_holdout": "Nothing is measured in a test",
        **sections,
    }


def program(**sections: Any) -> ProgramDocument:
    return ProgramDocument.model_validate(program_data(**sections))


def rule(rule_id: str = "base", activity: str = "purchase", **gives: Any) -> dict[str, Any]:
    return {"id": rule_id, "activity": activity, "gives": gives}
