from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError
from sample_programs import PER_POUND, program, program_data, rule

from rewards.program.document import ProgramDocument
from rewards.program.explaining import explain
from rewards.program.loading import json_schema, path_text
from rewards.program.points import ExpiresAfter, NeverExpires


def test_what_is_left_out_has_its_documented_default() -> None:
    document = program(earn=[])
    assert (document.base_amount.discount, document.base_amount.tax, document.base_amount.shipping) == (
        False,
        True,
        True,
    )
    assert document.points.pending is None
    assert document.points.expiry == NeverExpires(type="never")
    assert document.points.negative_balance == "allow"
    assert (document.redemption.points, document.redemption.value_minor) == (1, 1)
    assert document.redemption.max_order_share_pct is None
    assert document.refunds.rounding == "half_up"
    assert document.zone.key == "Europe/London"


def test_json_gives_back_an_equal_document() -> None:
    document = program(
        points={"pending": "P14D", "expiry": {"type": "dates", "dates": ["06-30"], "minimum_life": "P2M"}}
    )
    assert ProgramDocument.model_validate_json(document.model_dump_json()) == document
    assert ProgramDocument.model_validate(document.model_dump(mode="json")) == document


def test_a_document_never_changes() -> None:
    document = program()
    with pytest.raises(ValidationError, match="frozen"):
        document.name = "Other"  # type: ignore[misc]
    assert isinstance(document.earn, tuple)


LONG = "x" * 201
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"schema_version": 2}, "schema_version", "must be 1, not 2"),
    ({"schema_version": True}, "schema_version", "must be 1, not true"),
    ({"schema_version": 1.0}, "schema_version", "must be 1, not 1.0"),
    ({"name": ""}, "name", "must not be empty"),
    ({"name": "  "}, "name", "must be readable text"),
    ({"name": "a\x00b"}, "name", "must be readable text"),
    ({"name": LONG}, "name", "must have at most 200 characters"),
    ({"name": 5}, "name", "must be text, not 5"),
    ({"currency": "gbp"}, "currency", "'gbp' is not an ISO 4217 currency code"),
    ({"currency": "XAU"}, "currency", "is not an ISO 4217 currency code"),
    ({"timezone": "Mars"}, "timezone", "'Mars' is not an IANA time zone"),
    ({"timezone": "europe/london"}, "timezone", "did you mean Europe/London?"),
    ({"timezone": "../../etc/passwd"}, "timezone", "is not an IANA time zone"),
    ({"tiers": []}, "tiers", "unknown field (known here: schema_version, name"),
    ({"base_amount": {"tax": "yes"}}, "base_amount.tax", "must be true or false, not 'yes'"),
    ({"base_amount": {"tax": 1}}, "base_amount.tax", "must be true or false, not 1"),
    ({"base_amount": None}, "base_amount", "must be a section with fields of its own, not null"),
    ({"earn": {}}, "earn", "must be a list, not a section"),
    ({"earn": [PER_POUND] * 201}, "earn", "must have at most 200 items"),
    ({"earn": [PER_POUND, PER_POUND]}, "earn[1].id", "another rule has the id 'base'"),
    ({"earn": [rule("a b", type="fixed", points=1)]}, "earn[0].id", "'a b' is not an id"),
    ({"earn": [rule("base\n", type="fixed", points=1)]}, "earn[0].id", "is not an id"),
    ({"earn": [rule("x" * 65, type="fixed", points=1)]}, "earn[0].id", "is not an id"),
    (
        {"earn": [rule(activity="purchse", type="fixed", points=1)]},
        "earn[0].activity",
        "did you mean 'purchase'?",
    ),
    ({"earn": [rule(points=1)]}, "earn[0].gives.type", "is required, but missing: one of per_amount, fixed"),
    (
        {"earn": [rule(type="fix", points=1)]},
        "earn[0].gives.type",
        "must be one of per_amount, fixed, per_unit, multiplier, at_least, not 'fix'",
    ),
    ({"earn": [rule(type="fixed", points=0)]}, "earn[0].gives.points", "must be at least 1, not 0"),
    ({"earn": [rule(type="fixed", points=-5)]}, "earn[0].gives.points", "must be at least 1, not -5"),
    ({"earn": [rule(type="fixed", points=1.5)]}, "earn[0].gives.points", "must be a whole number, not 1.5"),
    ({"earn": [rule(type="fixed", points=1.0)]}, "earn[0].gives.points", "must be a whole number, not 1.0"),
    ({"earn": [rule(type="fixed", points="1")]}, "earn[0].gives.points", "must be a whole number, not '1'"),
    ({"earn": [rule(type="fixed", points=True)]}, "earn[0].gives.points", "must be a whole number, not true"),
    (
        {"earn": [rule(type="fixed", points=2**53 + 1)]},
        "earn[0].gives.points",
        "must be at most 9007199254740992",
    ),
    (
        {"earn": [rule(type="fixed", points=10**30)]},
        "earn[0].gives.points",
        "must be at most 9007199254740992",
    ),
    (
        {"earn": [rule(type="per_amount", points=1, per_minor=0)]},
        "earn[0].gives.per_minor",
        "must be at least 1, not 0",
    ),
    (
        {"earn": [rule(type="per_amount", points=1, per_minor=1, whole_block=True)]},
        "earn[0].gives.whole_block",
        "did you mean 'whole_blocks'? (known here: type, points, per_minor, whole_blocks, rounding, items)",
    ),
    (
        {"earn": [rule(type="per_amount", points=1, per_minor=1, whole_blocks=True, rounding="ceil")]},
        "earn[0].gives.rounding",
        "ceil has no effect with whole_blocks: true",
    ),
    (
        {"earn": [rule(activity="signup", type="per_amount", points=1, per_minor=1)]},
        "earn[0].gives.type",
        "only a purchase has an amount, and this rule is for signup",
    ),
    ({"points": {"pending": "2 weeks"}}, "points.pending", "not an ISO 8601 duration: '2 weeks'"),
    ({"points": {"expiry": {"type": "after"}}}, "points.expiry.period", "is required, but missing"),
    (
        {"points": {"expiry": {"type": "after", "period": "P0D"}}},
        "points.expiry.period",
        "P0D is no time at all",
    ),
    (
        {"points": {"expiry": {"type": "after", "period": "P12X"}}},
        "points.expiry.period",
        "not an ISO 8601 duration: 'P12X' (write for example P12M",
    ),
    (
        {"points": {"expiry": {"type": "after", "period": "P101Y"}}},
        "points.expiry.period",
        "P101Y is longer than 100 years",
    ),
    (
        {"points": {"expiry": {"type": "after", "period": "P1M", "round_up_to": "week"}}},
        "points.expiry.round_up_to",
        "must be one of month, year, not 'week'",
    ),
    (
        {"points": {"expiry": {"type": "dates", "dates": []}}},
        "points.expiry.dates",
        "must have at least 1 item",
    ),
    (
        {"points": {"expiry": {"type": "dates", "dates": ["12-31", "31-12"]}}},
        "points.expiry.dates[1]",
        "not a day of the year: '31-12'",
    ),
    (
        {"points": {"expiry": {"type": "dates", "dates": ["12-31", "12-31"]}}},
        "points.expiry.dates[1]",
        "12-31 is listed twice",
    ),
    (
        {"points": {"pending": "P30D", "expiry": {"type": "after", "period": "P1M"}}},
        "points.expiry.period",
        "points could expire before they are available; make this longer than pending (P30D)",
    ),
    (
        {"points": {"pending": "P14D", "expiry": {"type": "inactivity", "period": "P14D"}}},
        "points.expiry.period",
        "points could expire before they are available",
    ),
    (
        {"points": {"pending": "P14D", "expiry": {"type": "dates", "dates": ["12-31"]}}},
        "points.expiry.minimum_life",
        "points could expire before they are available",
    ),
    (
        {"redemption": {"max_order_share_pct": 101}},
        "redemption.max_order_share_pct",
        "must be at most 100, not 101",
    ),
    ({"redemption": {"step_points": 0}}, "redemption.step_points", "must be at least 1, not 0"),
    (
        {"refunds": {"rounding": "down"}},
        "refunds.rounding",
        "must be one of floor, half_up, ceil, not 'down'",
    ),
]


@pytest.mark.parametrize(
    ("sections", "path", "message"), REFUSED, ids=[f"{path}: {why}" for _, path, why in REFUSED]
)
def test_what_is_wrong_is_said_where_it_is(sections: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProgramDocument.model_validate(program_data(**sections))
    (error,) = caught.value.errors()
    where, why = explain(error)
    assert path_text(where) == path
    assert message in why


def test_a_wait_as_long_as_the_minimum_life_is_fine() -> None:
    points = {"pending": "P14D", "expiry": {"type": "dates", "dates": ["12-31"], "minimum_life": "P14D"}}
    assert program(points=points).points.pending == "P14D"
    for pending, period in (("P14D", "P15D"), ("P11M", "P12M"), ("P30D", "P2M"), ("PT20H", "P1D")):
        points = {"pending": pending, "expiry": {"type": "after", "period": period}}
        assert program(points=points).points.pending == pending


@pytest.mark.parametrize("field", ["schema_version", "name", "currency", "timezone"])
def test_what_identifies_a_program_is_required(field: str) -> None:
    data = program_data()
    del data[field]
    with pytest.raises(ValidationError) as caught:
        ProgramDocument.model_validate(data)
    (error,) = caught.value.errors()
    assert explain(error) == ((field,), "is required, but missing")


def test_the_json_schema_is_valid_and_agrees() -> None:
    schema = json_schema()
    jsonschema_rs.meta.validate(schema)
    check = jsonschema_rs.validator_for(schema)
    check.validate(program().model_dump(mode="json"))
    check.validate(program_data(points={"expiry": {"type": "after", "period": "P12M"}}))
    wrongs: list[dict[str, Any]] = [
        {"tiers": []},
        {"currency": "pounds"},
        {"earn": [rule(type="fixed", points=0)]},
        {"name": ""},
    ]
    for wrong in wrongs:
        assert not check.is_valid(program_data(**wrong)), wrong


def test_the_json_schema_explains_its_fields() -> None:
    definitions = json_schema()["$defs"]
    assert definitions["PerAmount"]["properties"]["per_minor"]["description"].startswith(
        "…for this much money"
    )
    assert definitions["ExpiresAfter"]["properties"]["period"]["format"] == "duration"


def test_sections_can_be_built_in_code() -> None:
    assert ExpiresAfter(type="after", period="P12M").round_up_to is None
