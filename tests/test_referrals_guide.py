"""The worked program of docs/guides/referrals.md, run day by day."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rewards.core.database import Database
from rewards.core.money import parse_major
from rewards.decide import Submission
from rewards.decide.commands import Award, Command, Reverse, Settle
from rewards.engine import Engine
from rewards.ledger.referrals import code_of
from rewards.ledger.verification import verify
from rewards.program.loading import load_text
from rewards.program.versions import publish

PAGE = (Path(__file__).parent.parent / "docs" / "guides" / "referrals.md").read_text(encoding="utf-8")
FIRST = datetime(2026, 11, 1, 12, tzinfo=UTC)


def command(who: str, does: str, day: int, code: str) -> Command:
    if does == "signs up with the code":
        return Award.model_validate(
            {"customer_id": who, "activity": {"type": "signup", "referral_code": code}}
        )
    if match := re.fullmatch(r"orders for ([\d.]+)", does):
        order = {
            "type": "purchase",
            "order_id": match[1],
            "total_minor": parse_major(match[1], "GBP"),
            "currency": "GBP",
        }
        return Award.model_validate({"customer_id": who, "activity": order})
    if match := re.fullmatch(r"has ([\d.]+) of (?:the 49.99|it) refunded", does):
        return Reverse(
            customer_id=who, order_id="49.99", refund_id=str(day), amount_minor=parse_major(match[1], "GBP")
        )
    assert does == "waits"
    return Settle(customer_id=who)


def test_the_page_says_what_the_engine_does(database: Database) -> None:
    program = load_text(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    engine = Engine(database)
    with database.engine.begin() as conn:
        publish(conn, program, effective_from=FIRST - timedelta(days=9), now=FIRST, actor="test")
    count = 0

    def send(command: Command, now: datetime) -> Any:
        nonlocal count
        count += 1
        key = None if isinstance(command, Settle) else f"k{count}"
        answer = engine.execute([Submission(command, key, "test")], now)[0]
        assert answer.status < 300, answer.body
        return json.loads(answer.body)

    def has(who: str, now: datetime) -> str:
        balance = send(Settle(customer_id=who), now)["balance"]
        return f"{balance['available']} + {balance['pending']}"

    send(Award.model_validate({"customer_id": "anna", "activity": {"type": "signup"}}), FIRST)
    with database.engine.begin() as conn:
        code = code_of(conn, "anna", FIRST)
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.*?)\| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 7
    for day, does, says, anna, ben in rows:
        now = FIRST + timedelta(days=int(day))
        answer = send(command("ben", does, int(day), code), now)
        told = answer.get("referral", {}).get("status", "")
        assert (told, has("anna", now), has("ben", now)) == (says.strip(), anna, ben), does
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []
