"""What customers say, out of a database: against plain Python over the answers that went in."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from metric_database import NOW, Purchased, answered, commands_of, source_at, submit, tag
from pydantic_core import to_json
from sqlalchemy import Connection, text

from rewards.core.database import Database
from rewards.facts.identities import set_identity
from rewards.facts.refresh import refresh
from rewards.metrics.answers import METRICS as NPS
from rewards.metrics.loyalty_index import METRICS as INDEX
from rewards.metrics.result import BadParameter, Result
from rewards.program.loading import load_text
from rewards.program.versions import publish

AUCKLAND = ZoneInfo("Pacific/Auckland")
AS_OF = date(2026, 10, 25)
PROGRAM = """
schema_version: 1
name: Test
currency: GBP
timezone: Pacific/Auckland
earn:
- {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}
surveys:
- id: nps-spring
  title: One question
  questions: [{id: friends, type: nps, text: Would you tell your friends?, required: false}, {id: why, type: text, text: Why?}]
- id: nps-autumn
  title: One question
  questions: [{id: friends, type: nps, text: Would you tell your friends?}]
- {id: index-a, title: Three questions, template: customer_loyalty_index}
- id: index-b
  title: Three questions on another scale
  questions:
  - {id: recommend, type: nps, text: Recommend?}
  - {id: buy_again, type: scale, text: Again?, lowest: 0, highest: 4, better: high, required: false}
  - {id: try_others, type: scale, text: Others?, lowest: 1, highest: 5, better: low}
"""


class Answer(NamedTuple):
    customer: str
    survey: str
    at: datetime
    answers: dict[str, Any]


@pytest.fixture
def asked(database: Database) -> Iterator[tuple[Connection, list[Answer], dict[str, str], list[Purchased]]]:
    """A shop whose customers answer now and then; c-1 is also c-2 and c-3, and c-4 is staff."""
    random = Random(7)
    with database.engine.begin() as conn:
        publish(conn, load_text(PROGRAM), effective_from=NOW - timedelta(days=900), now=NOW, actor="test")
    customers = [f"c-{number}" for number in range(40)]
    orders = [
        Purchased(customer, f"o-{customer}-{number}", moment(random), 1_000)
        for customer in customers
        for number in range(random.choice([1, 1, 2]))
    ]
    submit(database, commands_of(orders))
    said = [
        Answer(customer, survey, moment(random), answers)
        for customer in customers
        for survey in ("nps-spring", "nps-autumn", "index-a", "index-b", "old", "older")
        if random.random() < 0.6 and (answers := given(random, survey))
    ]
    mine = [each for each in said if not each.survey.startswith("old")]
    submit(database, [answered(*each) for each in mine])
    same = {"c-2": "c-1", "c-3": "c-1"}
    with database.engine.begin() as conn:
        for customer, other in same.items():
            set_identity(conn, customer, other, actor="test", now=NOW)
        for each in said:
            if each.survey.startswith("old"):
                conn.execute(
                    text(
                        "INSERT INTO survey_answers (customer_id, survey_id, source, answered_at, answers)"
                        " VALUES (:c, :s, 'import', :at, CAST(:a AS jsonb))"
                    ),
                    {
                        "c": each.customer,
                        "s": each.survey,
                        "at": each.at,
                        "a": to_json(each.answers).decode(),
                    },
                )
    tag(database, "c-4", ["staff"])
    refresh(database, NOW)
    with database.engine.connect() as conn:
        yield conn, [each for each in said if each.customer != "c-4"], same, orders


def moment(random: Random) -> datetime:
    """Some are at the very edges of the year up to AS_OF on Auckland's clocks."""
    ends = datetime(2026, 10, 26, tzinfo=AUCKLAND).astimezone(UTC)
    edges = [ends, ends - timedelta(microseconds=1), datetime(2025, 10, 26, tzinfo=AUCKLAND).astimezone(UTC)]
    return random.choice([*edges, *(ends - timedelta(days=random.uniform(0, 500)) for _ in range(12))])


def given(random: Random, survey: str) -> dict[str, Any]:
    if survey.startswith("nps"):
        why = {"why": "So"} if survey == "nps-spring" else {}
        vote = random.choice([None, 9]) if survey == "nps-spring" else random.randint(0, 10)
        return {"friends": random.randint(0, 10) if vote else vote, **why}
    if survey == "index-a":
        return {name: random.randint(1, 6) for name in ("recommend", "buy_again", "try_others")}
    if survey == "index-b":
        again = random.choice([None, random.randint(0, 4)])
        return {"recommend": random.randint(0, 10), "buy_again": again, "try_others": random.randint(1, 5)}
    # As files have them: texts, some of which are no numbers.
    if survey == "old":
        return {"nps": random.choice(["0", "7", "10", "9.0", "", "eleven", "11", "-1"])}
    return {name: random.choice(["1", 2, "6", "", "0"]) for name in ("recommend", "buy_again", "try_others")}


def is_within(each: Answer) -> bool:
    day = each.at.astimezone(AUCKLAND).date()
    return date(2025, 10, 26) <= day <= AS_OF


def last_of_each(said: list[tuple[str, str, datetime, Any]], *, by_survey: bool) -> dict[Any, Any]:
    """The last answer of each person; of two at one instant that to the survey whose name comes last."""
    found: dict[Any, Any] = {}
    for person, survey, _at, value in sorted(said, key=lambda each: (each[2], each[1])):
        found[(person, survey) if by_survey else person] = (survey, value)
    return found


def score(values: list[int]) -> float:
    return 100 * (sum(value >= 9 for value in values) - sum(value <= 6 for value in values)) / len(values)


def table(result: Result, key: str) -> list[Any]:
    return [list(row) for row in next(each for each in result.tables if each.key == key).rows]


def test_the_net_promoter_score(asked: Any) -> None:
    conn, said, same, orders = asked
    source = source_at(conn, AS_OF)
    votes = []
    for each in filter(is_within, said):
        value = each.answers.get(
            "nps" if each.survey == "old" else "friends" if each.survey.startswith("nps") else "recommend"
        )
        if each.survey in ("index-a", "older") or value in (None, "", "eleven", "11", "-1"):
            continue
        votes.append((same.get(each.customer, each.customer), each.survey, each.at, int(float(value))))
    result = NPS[0](source)
    expected = last_of_each(votes, by_survey=False)
    assert result.value == pytest.approx(score([value for _, value in expected.values()]))
    assert result.denominator == len(expected)
    assert [row[1] for row in table(result, "answers")] == [
        sum(value == number for _, value in expected.values()) for number in range(11)
    ]
    waves = last_of_each(votes, by_survey=True)
    told = {row[0]: (row[1], row[4]) for row in table(result, "waves")}
    assert set(told) == {"nps-spring", "nps-autumn", "index-b", "old"}
    for survey, (value, answers) in told.items():
        mine = [value for name, value in waves.values() if name == survey]
        assert (value, answers) == (pytest.approx(score(mine)), len(mine))
    ((_, answered_, buyers, rate),) = table(result, "response")
    people = {
        same.get(o.customer, o.customer)
        for o in orders
        if o.customer != "c-4" and is_within(Answer("", "", o.at, {}))
    }
    assert buyers == len(people)
    assert answered_ == len(people & set(expected))
    assert rate == answered_ / buyers
    unread = sum(
        each.survey == "old" and each.answers["nps"] in ("eleven", "11", "-1")
        for each in filter(is_within, said)
    )
    assert f"{unread} answers without a number" in " ".join(result.notes)
    assert NPS[0].rows is not None
    listed = NPS[0].rows(source, **{each.name: each.default for each in NPS[0].parameters}).rows
    assert sorted((row[0], row[1]) for row in listed) == sorted((who, v) for who, (_, v) in expected.items())
    one = NPS[0](source, survey="nps-autumn", asked=200)
    assert one.denominator == len([1 for (_, name) in waves if name == "nps-autumn"])
    assert table(one, "response")[0][1:] == [one.denominator, 200, one.denominator / 200]


def test_the_loyalty_index(asked: Any) -> None:
    conn, said, same, _ = asked
    source = source_at(conn, AS_OF)
    scales = {
        "index-a": {"recommend": (6, 1), "buy_again": (6, 1), "try_others": (6, 1)},
        "index-b": {"recommend": (0, 10), "buy_again": (0, 4), "try_others": (5, 1)},
        "older": {"recommend": (6, 1), "buy_again": (6, 1), "try_others": (6, 1)},
    }

    def index_of(each: Answer) -> float | None:
        total = 0.0
        for name, (worst, best) in scales[each.survey].items():
            answer = each.answers.get(name)
            if answer in (None, "", "0"):
                return None
            total += 100 * (int(answer) - worst) / (best - worst)
        return total / 3

    for surveys, options in (
        (("index-a", "index-b"), {}),
        (("index-a", "index-b", "older"), {"scale": "1-6-low"}),
    ):
        within = [each for each in filter(is_within, said) if each.survey in surveys]
        whole = [
            (same.get(each.customer, each.customer), each.survey, each.at, value)
            for each in within
            if (value := index_of(each)) is not None
        ]
        result = INDEX[0](source, **options)
        expected = last_of_each(whole, by_survey=False)
        values = [value for _, value in expected.values()]
        assert result.value == pytest.approx(sum(values) / len(values))
        assert result.denominator == len(values)
        waves = last_of_each(whole, by_survey=True)
        for survey, value, _, _, people in table(result, "waves"):
            mine = [each for name, each in waves.values() if name == survey]
            assert (value, people) == (pytest.approx(sum(mine) / len(mine)), len(mine))
        incomplete = len(within) - len(whole) - sum(not any(each.answers.values()) for each in within)
        assert f"{incomplete} answers that lack" in " ".join(result.notes)
    assert "older" in " ".join(INDEX[0](source).notes)
    with pytest.raises(BadParameter, match="scale"):
        INDEX[0](source, scale="stars")


def test_without_answers_there_is_a_reason(database: Database) -> None:
    with database.engine.begin() as conn:
        publish(conn, load_text(PROGRAM), effective_from=NOW - timedelta(days=900), now=NOW, actor="test")
    refresh(database, NOW)
    with database.engine.connect() as conn:
        source = source_at(conn, AS_OF)
        assert NPS[0](source).reason_if_null == "No survey that anybody answered has a question of type nps."
        assert "No survey that anybody answered asks all" in str(INDEX[0](source).reason_if_null)
    submit(
        database,
        [
            answered("ann", "nps-autumn", NOW - timedelta(days=20), {"friends": 9}),
            answered(
                "ann", "index-a", NOW - timedelta(days=20), {"recommend": 1, "buy_again": 1, "try_others": 1}
            ),
        ],
    )
    refresh(database, NOW)
    with database.engine.connect() as conn:
        found = NPS[0](source_at(conn, AS_OF))
        assert (found.value, found.interval) == (100, None)
        assert found.notes == ["All answers are of one kind, so no interval can be given."]
        found = INDEX[0](source_at(conn, AS_OF))
        assert (found.value, found.interval) == (100, None)
        early = source_at(conn, date(2026, 1, 1))
        assert "Nobody answered how likely" in str(NPS[0](early).reason_if_null)
        assert "Nobody answered all three" in str(INDEX[0](early).reason_if_null)
