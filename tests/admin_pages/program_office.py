"""A program with something of everything, and what its pages' tests do again and again."""

from datetime import timedelta
from html import unescape
from typing import Any

import httpx
from office import Browser, Office, forms

from rewards.core.clock import utc_now
from rewards.program.document import ProgramDocument
from rewards.program.drafts import Draft, read_draft
from rewards.program.versions import load_history, publish

DRAFT = "/admin/program/draft"
EARN = [
    {"id": "base", "activity": "purchase", "gives": {"type": "per_amount", "points": 1, "per_minor": 100}},
    {"id": "welcome", "activity": "signup", "gives": {"type": "fixed", "points": 50}},
    {"id": "answers", "activity": "survey", "gives": {"type": "fixed", "points": 20}},
]
PROGRAM: dict[str, Any] = {
    "schema_version": 1,
    "name": "Tea Club",
    "currency": "GBP",
    "timezone": "Europe/London",
    "earn": EARN,
    "no_holdout": "Nothing is measured in a test",
    "points": {"pending": "P14D", "expiry": {"type": "after", "period": "P12M"}},
    "surveys": [
        {"id": "s1", "title": "How was it?", "questions": [{"id": "q", "type": "nps", "text": "Well?"}]}
    ],
    "ladder": {
        "tiers": [
            {"id": "bronze", "name": "Bronze"},
            {"id": "silver", "name": "Silver", "ways_in": [{"spend_minor": 50_000}, {"points": 500}]},
        ]
    },
}


def publish_program(office: Office, days: float = 0, **sections: Any) -> int:
    """Publish the program, as somebody at the command line would, in force since so many days."""
    document = ProgramDocument.model_validate(PROGRAM | sections)
    with office.database.engine.begin() as connection:
        return publish(
            connection,
            document,
            effective_from=utc_now() - timedelta(days=days),
            now=utc_now(),
            actor="cli",
            note="By hand",
        ).version


def newest(office: Office) -> ProgramDocument:
    with office.database.engine.connect() as connection:
        return load_history(connection).latest.document


def draft(office: Office) -> Draft | None:
    with office.database.engine.connect() as connection:
        return read_draft(connection)


def draft_data(office: Office) -> Any:
    found = draft(office)
    assert found is not None
    return found.data


def page(browser: Browser, part: str) -> httpx.Response:
    answer = browser.get(f"{DRAFT}/{part}")
    assert answer.status_code == 200, answer.text
    return answer


def save(browser: Browser, part: str, **values: Any) -> httpx.Response:
    """Fill in a part's form, press a button (``do``), and go where that leads."""
    values = {name.replace("__", "."): value for name, value in values.items()}
    return browser.follow(browser.send(page(browser, part), f"draft/{part}", **{"do": "save", **values}))


def has_form(answer: httpx.Response, action: str) -> bool:
    return any(form.action.endswith(action) for form in forms(answer))


def text_of(answer: httpx.Response) -> str:
    return unescape(answer.text)
