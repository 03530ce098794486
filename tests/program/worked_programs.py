"""The worked programs of docs/guides/rules.md: how the page is read, and how its tables are played on the engine.

A table's rows are events. What each may say stands in ``_COMMANDS`` and ``_LOOKS``; whatever is worded otherwise fails.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from rewards.core.database import Database
from rewards.core.errors import Refusal
from rewards.core.money import format_minor, parse_major
from rewards.decide import Submission
from rewards.decide.commands import Award, Command, Redeem, Reverse, Tag
from rewards.engine import Answer, Engine
from rewards.ledger.statements import read_balance
from rewards.program.document import ProgramDocument
from rewards.program.loading import load_text
from rewards.program.versions import publish

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "rules.md"
EVENTS = ("when", "what", "points", "explanation")

_BLOCK = re.compile(
    r"^(?P<heading>#+ .*)$|^```(?P<kind>[a-z ]+)\n(?P<code>(?:.*\n)*?)```$|(?P<table>(?:^\|.*\n)+)",
    re.MULTILINE,
)
_REQUIRED = {"schema_version": 1, "name": "Tea Club", "currency": "GBP", "timezone": "Europe/London"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Row:
    """One row of events as it stands on the page."""

    when: str
    what: str
    points: str
    explanation: str


@dataclass
class WorkedProgram:
    """A program, what it is changed to meanwhile, and a table for each story that is told of it."""

    title: str
    line: int
    program: str
    changed: str | None = None
    tables: list[list[Row]] = field(default_factory=list)

    def documents(self) -> tuple[ProgramDocument, ProgramDocument | None]:
        """Read the program, and what it is changed to, with the fields that the page leaves out."""
        changed = None if self.changed is None else load_text(completed(self.changed))
        return load_text(completed(self.program)), changed


def read_page(page: str) -> tuple[list[WorkedProgram], list[list[list[str]]]]:
    """Return the page's worked programs, and the tables that stand before them."""
    programs: list[WorkedProgram] = []
    others: list[list[list[str]]] = []
    title = ""
    for block in _BLOCK.finditer(page):
        if block["heading"]:
            title = block["heading"].lstrip("# ")
        elif block["table"]:
            cells = [
                [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]
                for row in block["table"].splitlines()
            ]
            if not programs:
                others.append(cells)
                continue
            assert tuple(cells[0]) == EVENTS, f"nobody reads tables of {cells[0]}"
            programs[-1].tables.append([Row(*each) for each in cells[2:]])
        elif block["kind"] == "yaml":
            programs.append(WorkedProgram(title, page.count("\n", 0, block.start()) + 2, block["code"]))
        else:
            assert block["kind"] == "yaml changed", f"nobody runs blocks of {block['kind']!r}"
            assert programs[-1].changed is None, "a program changes once"
            programs[-1].changed = block["code"]
    return programs, others


def completed(shown: str) -> str:
    """Return the page's YAML with the required fields that it leaves out."""
    given = yaml.safe_load(shown)
    missing = {name: value for name, value in _REQUIRED.items() if name not in given}
    return yaml.safe_dump(missing) + shown


# What a row may say.

_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d(?: UTC)?"
_WHEN = re.compile(rf"(?P<occurred>{_MOMENT})(?:, sent (?P<sent>{_MOMENT}))?")
_WHO = re.compile(r"(?:(?P<who>[a-z]+): )?(?P<what>.*)")
_LINE = re.compile(r"(?P<sku>\S+) (?P<category>[a-z]+) (?:(?P<units>\d+) × )?(?P<each>[\d.]+)")
_ORDER = r"order (?P<order>\S+) of (?P<total>[\d.]+)(?: \((?P<parts>[^)]+)\))?(?:: (?P<lines>.+))?"
_MONEY = ("discount", "tax", "shipping", "points")


class Reading:
    """What an event's words mean, in a program's currency."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self._refunds = 0

    def minor(self, amount: str) -> int:
        return parse_major(amount, self.currency)

    def order(self, order: str, total: str, parts: str | None, lines: str | None) -> dict[str, Any]:
        activity: dict[str, Any] = {
            "type": "purchase",
            "order_id": order,
            "total_minor": self.minor(total),
            "currency": self.currency,
        }
        for part in parts.split(", ") if parts else ():
            name, value = part.split(" ")
            if name in _MONEY:
                activity[f"{name}_minor"] = self.minor(value)
            else:
                assert name == "channel", f"no part of an order is called {name!r}"
                activity["channel"] = value
        if lines:
            activity["items"] = [self._line(line) for line in lines.split(", ")]
        return activity

    def _line(self, text: str) -> dict[str, Any]:
        line = _LINE.fullmatch(text)
        assert line, f"no line of an order: {text!r}"
        units = int(line["units"] or 1)
        return {
            "line_id": line["sku"],
            "sku": line["sku"],
            "category": line["category"],
            "quantity": units,
            "amount_minor": units * self.minor(line["each"]),
        }

    def refund(self, order: str, extent: str, refund: str | None) -> dict[str, Any]:
        self._refunds += 1
        command: dict[str, Any] = {"order_id": order, "refund_id": refund or f"refund-{self._refunds}"}
        if extent == "in full":
            return command | {"full": True}
        if amount := re.fullmatch(r"of ([\d.]+)", extent):
            return command | {"amount_minor": self.minor(amount[1])}
        line = re.fullmatch(r"(?:(\d+) of )?line (\S+)", extent)
        assert line, f"no extent of a refund: {extent!r}"
        return command | {"items": [{"line_id": line[2]} | ({"quantity": int(line[1])} if line[1] else {})]}


def _activity(make: Callable[..., dict[str, Any]]) -> Callable[..., Command]:
    def command(reading: Reading, who: str, occurred_at: datetime, **said: str | None) -> Command:
        given = {"customer_id": who, "occurred_at": occurred_at, "activity": make(reading, **said)}
        return Award.model_validate(given)

    return command


def _survey(_: Reading, survey: str, answers: str | None) -> dict[str, Any]:
    return {"type": "survey", "survey_id": survey, "answers": yaml.safe_load(answers) if answers else {}}


def _custom(_: Reading, name: str, attributes: str | None) -> dict[str, Any]:
    given = yaml.safe_load(attributes) if attributes else {}
    return {"type": "custom", "name": name, "attributes": given}


def _refund(
    reading: Reading, who: str, occurred_at: datetime, order: str, extent: str, refund: str | None
) -> Command:
    extent_of = reading.refund(order, extent, refund)
    return Reverse.model_validate({"customer_id": who, "occurred_at": occurred_at, **extent_of})


def _redeem(_: Reading, who: str, occurred_at: datetime, points: str, order: str | None) -> Command:
    return Redeem(customer_id=who, points=int(points), order_id=order)


def _tags(_: Reading, who: str, occurred_at: datetime, tags: str) -> Command:
    return Tag(customer_id=who, tags=tags.split(", "))


_COMMANDS: list[tuple[re.Pattern[str], Callable[..., Command]]] = [
    (re.compile(_ORDER), _activity(Reading.order)),
    (re.compile(r"signup"), _activity(lambda _: {"type": "signup"})),
    (re.compile(r"review of (?P<subject>\S+)"), _activity(lambda _, subject: {"type": "review", "subject": subject})),
    (re.compile(r"(?P<type>birthday|anniversary) (?P<year>\d{4})"), _activity(lambda _, type, year: {"type": type, "year": int(year)})),  # noqa: A006
    (re.compile(r"referral of (?P<friend>\S+)"), _activity(lambda _, friend: {"type": "referral", "referred_customer_id": friend})),
    (re.compile(r"survey (?P<survey>\S+?)(?: (?P<answers>\{.*\}))?"), _activity(_survey)),
    (re.compile(r"custom (?P<name>\S+)(?: (?P<attributes>\{.*\}))?"), _activity(_custom)),
    (re.compile(r"refund (?P<order>\S+) (?P<extent>in full|of [\d.]+|(?:\d+ of )?line \S+)(?: as (?P<refund>\S+))?"), _refund),
    (re.compile(r"redeem (?P<points>\d+)(?: for order (?P<order>\S+))?"), _redeem),
    (re.compile(r"tags (?P<tags>.+)"), _tags),
]  # fmt: skip
_AGAIN = re.compile(r"the same again(?P<anew>, under a new key)?")
_LOOKS = re.compile(rf"balance|lots|publish the change|why not: (?P<asked>{_ORDER})")


# How a table is played.


class Story:
    """A shop on a fresh database, under the page's program, told to do what a table's rows say."""

    def __init__(self, database: Database, program: ProgramDocument, changed: ProgramDocument | None) -> None:
        self._database = database
        self._engine = Engine(database)
        self._zone = program.zone
        self._reading = Reading(program.currency)
        self._changed = changed
        self._last: tuple[Submission, str] | None = None
        self._keys = 0
        self._now = _EPOCH
        self._publish(program, _EPOCH)

    def play(self, rows: list[Row]) -> list[Row]:
        """Do what the rows say, those of one batch in one transaction, and return them with what came of it."""
        told: list[Row] = []
        for batch in _batches(rows):
            when = _WHEN.fullmatch(batch[0].when)
            assert when, f"no time: {batch[0].when!r}"
            occurred_at = self._instant(when["occurred"])
            now = self._instant(when["sent"]) if when["sent"] else occurred_at
            assert now >= self._now, f"{batch[0].when} goes back in time"
            self._now = now
            if _LOOKS.fullmatch(_said(batch[0])[1]):
                assert len(batch) == 1, "only commands go into a batch"
                results = [self._look(*_said(batch[0]), occurred_at)]
            else:
                results = self._send([self._submission(row, occurred_at) for row in batch])
            told += [Row(row.when, row.what, *result) for row, result in zip(batch, results, strict=True)]
        return told

    def _instant(self, text: str) -> datetime:
        if text.endswith(" UTC"):
            return datetime.fromisoformat(text.removesuffix(" UTC") + "+00:00")
        return datetime.fromisoformat(text).replace(tzinfo=self._zone).astimezone(UTC)

    # -- commands

    def _submission(self, row: Row, occurred_at: datetime) -> Submission:
        who, what = _said(row)
        if again := _AGAIN.fullmatch(what):
            assert self._last, "nothing was sent before"
            sent = self._last[0]
            return sent if not again["anew"] else self._under_a_key(sent.command)
        return self._under_a_key(self._command(who, what, occurred_at))

    def _command(self, who: str, what: str, occurred_at: datetime) -> Command:
        for words, command in _COMMANDS:
            if said := words.fullmatch(what):
                return command(self._reading, who=who, occurred_at=occurred_at, **said.groupdict())
        raise AssertionError(f"nobody understands {what!r}")

    def _under_a_key(self, command: Command) -> Submission:
        if isinstance(command, Tag):
            return Submission(command, None, "storefront")  # the same tags twice are the same tags
        self._keys += 1
        return Submission(command, f"key-{self._keys}", "storefront")

    def _send(self, submissions: list[Submission]) -> list[tuple[str, str]]:
        quoted = self._quoted(submissions[0].command) if len(submissions) == 1 else None
        answers = self._engine.execute(submissions, self._now)
        results = [
            self._result(submission, answer) for submission, answer in zip(submissions, answers, strict=True)
        ]
        if quoted is not None and not answers[0].replayed:
            given = json.loads(answers[0].body)
            assert {name: given.get(name) for name in quoted} == quoted, "the quote was another"
        return results

    def _quoted(self, command: Command) -> dict[str, Any] | None:
        """Return what an award is quoted to be, as JSON says it; None for other commands and refused ones."""
        if not isinstance(command, Award):
            return None
        try:
            quote = self._engine.quote(command, self._now)
        except Refusal:
            return None
        award: dict[str, Any] = quote["award"]
        return {name: award[name] for name in ("points", "status", "explanation", "balance", "tier")}

    def _result(self, submission: Submission, answer: Answer) -> tuple[str, str]:
        """Return an answer's points and words."""
        if answer.replayed:
            assert self._last is not None
            assert self._last[1] == answer.body
            return "", "the answer of the first time"
        self._last = submission, answer.body
        body = json.loads(answer.body)
        assert answer.status < 500, body
        if answer.status >= 400:
            return "refused", f"`{body['code']}`: {body['detail']}"
        match submission.command:
            case Award():
                return str(body["points"]), _explained(body)
            case Reverse():
                back = body["points_reinstated"] - body["points_clawed_back"]
                assert back == sum(each["points"] for each in body["explanation"]), body
                return str(back), _explained(body)
            case Redeem():
                worth = format_minor(body["value_minor"], body["currency"])
                return str(-body["points"]), f"worth {worth} {body['currency']}"
            case Tag():
                return "", ""
            case other:
                raise AssertionError(f"nobody tells what became of {other}")

    # -- what is looked at or done aside

    def _look(self, who: str, what: str, occurred_at: datetime) -> tuple[str, str]:
        if what == "publish the change":
            assert self._changed is not None, "the page shows no change"
            self._publish(self._changed, self._now)
            return "", ""
        if what.startswith("why not: "):
            return self._why_not(who, what.removeprefix("why not: "), occurred_at)
        with self._database.engine.connect() as conn:
            found = read_balance(conn, who, None, self._now)
        assert found, f"nobody is called {who!r}"
        balance = found.balance
        if what == "balance":
            parts = {"pending": balance.pending, "on hold": balance.held, "owed": balance.deficit}
            return str(balance.available), ", ".join(
                f"{points} {name}" for name, points in parts.items() if points
            )
        lots = [f"{lot.points}{self._life(lot)}" for lot in balance.lots]
        return str(balance.available + balance.pending), "<br>".join(lots)

    def _why_not(self, who: str, what: str, occurred_at: datetime) -> tuple[str, str]:
        command = self._command(who, what, occurred_at)
        assert isinstance(command, Award)
        quote = self._engine.quote(command, self._now, explain=True)
        reasons = [f"`{each['rule_id']}`: {each['text']}" for each in quote["not_applied"]]
        return str(quote["award"]["points"]), "<br>".join(reasons)

    def _life(self, lot: Any) -> str:
        begin, end = lot.available_at, lot.expires_at
        local = "%Y-%m-%d %H:%M"
        life = f" from {begin.astimezone(self._zone):{local}}" if begin > self._now else ""
        return life + (f" until {end.astimezone(self._zone):{local}}" if end and end.year < 9999 else "")

    def _publish(self, program: ProgramDocument, at: datetime) -> None:
        with self._database.engine.begin() as conn:
            publish(conn, program, effective_from=at, now=at, actor="the page")


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    """Yield the rows that go into one transaction."""
    batch: list[Row] = []
    for row in rows:
        if row.when != "same batch" and batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _said(row: Row) -> tuple[str, str]:
    said = _WHO.fullmatch(row.what)
    assert said
    return said["who"] or "ann", said["what"]


def _explained(body: dict[str, Any]) -> str:
    """Write an explanation the way the page does: a line for each rule, then what no rule stands for."""
    return "<br>".join(
        f"`{each['rule_id']}` {each['points']}: {each['text']}" if each["rule_id"] else each["text"]
        for each in body["explanation"]
    )
