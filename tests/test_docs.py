"""The documents say what is so: codes, settings, endpoints, covered fields, and the README's examples."""

import asyncio
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from rewards.core import errors
from rewards.core.database import Database
from rewards.core.settings import Settings
from rewards.ledger.digest import COVERED
from rewards.ledger.tables import APPEND_ONLY, ENTRY_KINDS

ROOT = Path(__file__).parent.parent
DOCS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_refusal_is_in_the_reference_with_its_status() -> None:
    reference = read("docs/reference/http.md")
    for refusal in errors.Refusal.__subclasses__():
        row = next(
            (
                line
                for line in reference.splitlines()
                if f"`{refusal.code}`" in line and line.startswith("| ")
            ),
            "",
        )
        assert row.startswith(f"| {refusal.status} "), refusal.code


def test_every_endpoint_is_in_the_reference() -> None:
    from api.app import create_app

    reference = read("docs/reference/http.md")
    for path, methods in create_app(Settings(database_url=None)).openapi()["paths"].items():
        if path.startswith("/v1/") or path in ("/healthz", "/readyz"):
            named = re.sub(r"\{\w+\}", "{id}", path)
            for method in methods:
                assert f"`{method.upper()} {named}`" in reference, (method, path)


def test_every_setting_is_in_the_guide() -> None:
    guide = read("docs/guides/running.md")
    named = set(re.findall(r"^\| `(REWARDS_\w+)`", guide, re.MULTILINE))
    assert named == {f"REWARDS_{name.upper()}" for name in Settings.model_fields}


def test_the_ledger_reference_names_what_is_stored() -> None:
    reference = read("docs/reference/ledger.md")
    covered = reference.split("<!-- covered -->")[1].split("\n\n")[0]
    assert tuple(re.findall(r"`(\w+)`", covered)) == COVERED
    for name in (*ENTRY_KINDS, *APPEND_ONLY):
        assert f"`{name}`" in reference


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize(
    "decision", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda path: path.stem
)
def test_decisions_fit_a_page(decision: Path) -> None:
    assert len(decision.read_text().splitlines()) <= 40


def test_the_readmes_calls_answer_what_it_says(database: Database) -> None:
    from rewards.core.clock import utc_now
    from rewards.core.keys import create_key

    with database.engine.begin() as conn:
        key = create_key(conn, name="shop", scope="storefront", now=utc_now())
    blocks = re.findall(r"```(sh|json)\n(.*?)```", read("README.md"), re.DOTALL)
    answers = asyncio.run(
        _answers(database.settings, [body for kind, body in blocks if body.startswith("curl ")], key)
    )
    printed = [json.loads(body) for kind, body in blocks if kind == "json"]
    assert len(answers) == len(printed) == 3
    for answer, shown in zip(answers, printed, strict=True):
        # What is printed is part of what is answered.
        assert {name: answer[name] for name in shown} == shown


async def _answers(settings: Settings, lines: list[str], key: str) -> list[dict[str, Any]]:
    from httpx import ASGITransport, AsyncClient

    from api.app import create_app

    app = create_app(settings)
    answers = []
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1:8000") as client,
    ):
        for line in lines:
            words = shlex.split(line)
            headers = dict(value.split(": ", 1) for flag, value in itertools.pairwise(words) if flag == "-H")
            headers |= {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            answer = await client.post(words[1], content=words[words.index("--json") + 1], headers=headers)
            assert answer.status_code == 201, answer.text
            answers.append(answer.json())
    return answers
