import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_programs import PER_POUND, program, program_data, rule

from rewards.program.document import ProgramDocument
from rewards.program.loading import (
    LARGEST_BYTES,
    ProgramInvalid,
    load_file,
    load_text,
    parse_document,
    to_yaml,
)

GOOD = """\
schema_version: 1
name: Tea Club
currency: GBP
timezone: Europe/London
earn:
  - id: base
    activity: purchase
    gives: {type: per_amount, points: 1, per_minor: 100}
points:
  expiry:
    type: after
    period: P12M
no_holdout: Nothing is measured in a test
"""


def errors_of(text: str | bytes, source: str = "p.yaml") -> list[str]:
    with pytest.raises(ProgramInvalid) as caught:
        load_text(text, source=source)
    assert str(caught.value) == "\n".join(map(str, caught.value.errors))
    return [str(error) for error in caught.value.errors]


def test_yaml_is_read() -> None:
    expiry = {"type": "after", "period": "P12M"}
    assert load_text(GOOD) == program(points={"expiry": expiry})


def test_json_is_read_too() -> None:
    data = program_data(name="Té \U0001f375 \\ud83c\\udf75 \t".strip())
    for text in (json.dumps(data), json.dumps(data, indent="\t"), json.dumps(data, ensure_ascii=False)):
        assert load_text(text) == ProgramDocument.model_validate(data)
    assert load_text("\ufeff" + json.dumps(data)) == ProgramDocument.model_validate(data)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "program.yaml"
    path.write_text(GOOD)
    assert load_file(path) == load_text(GOOD)


def test_errors_in_a_file_name_it_and_point_at_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "program.yaml"
    path.write_text(GOOD.replace("P12M", "P12X"))
    with pytest.raises(ProgramInvalid) as caught:
        load_file(path)
    (error,) = caught.value.errors
    assert (error.path, error.line, error.column) == ("points.expiry.period", 12, 5)
    assert str(error) == (
        f"{path}:12:5: points.expiry.period: not an ISO 8601 duration: 'P12X'"
        " (write for example P12M, P14D or PT30M)"
    )


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_what_cannot_be_opened_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProgramInvalid, match="cannot be read: "):
        load_file(tmp_path / name)


def test_all_errors_are_collected_in_the_texts_order() -> None:
    text = """\
schema_version: 1
name: Tea Club
currency: GBPP
timezone: Europe/London
earn:
  - id: base
    activity: purchase
    gives: {type: per_amount, points: 1.5, per_minor: 0}
  - activity: signup
    gives: {type: gift}
points:
  expiry:
    type: after
    perod: P12M
refunds: up
"""
    assert errors_of(text) == [
        "p.yaml:3:1: currency: 'GBPP' is not an ISO 4217 currency code; write for example USD, EUR or GBP",
        "p.yaml:8:31: earn[0].gives.points: must be a whole number, not 1.5",
        "p.yaml:8:44: earn[0].gives.per_minor: must be at least 1, not 0",
        "p.yaml:9:5: earn[1].id: is required, but missing",
        "p.yaml:10:13: earn[1].gives.type: must be one of per_amount, fixed, per_unit, multiplier, at_least, not 'gift'",
        "p.yaml:12:3: points.expiry.period: is required, but missing",
        (
            "p.yaml:14:5: points.expiry.perod: unknown field; did you mean 'period'?"
            " (known here: type, period, round_up_to)"
        ),
        "p.yaml:15:1: refunds: must be a section with fields of its own, not 'up'",
    ]


def test_errors_in_json_have_lines_too() -> None:
    text = json.dumps(program_data(earn=[rule(type="fixed", points=0)]), indent=2)
    (error,) = errors_of(text, "p.json")
    assert error == "p.json:12:9: earn[0].gives.points: must be at least 1, not 0"


def test_a_key_that_stands_twice_is_refused() -> None:
    assert errors_of(GOOD + "name: Other\n") == [
        "p.yaml:14:1: name: stands here twice (first in line 2); remove one"
    ]
    inner = GOOD.replace("points: 1,", "points: 1, points: 2,")
    assert errors_of(inner) == [
        "p.yaml:8:42: earn[0].gives.points: stands here twice (first in line 8); remove one"
    ]
    assert "p.yaml:1:15: name: stands here twice (first in line 1); remove one" in errors_of(
        '{"name": "a", "name": "b"}'
    )


@pytest.mark.parametrize(
    "word", ["yes", "no", "on", "off", "2026-06-30", "12:30", "0x10", "1_000", "06-30", ".inf"]
)
def test_what_older_yaml_would_take_for_something_else_stays_text(word: str) -> None:
    assert load_text(GOOD.replace("Tea Club", word)).name == word


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "points: 1,",
            "points: yes,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not 'yes'",
        ),
        (
            "points: 1,",
            "points: 1_000,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not '1_000'",
        ),
        (
            "points: 1,",
            "points: 0x10,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not '0x10'",
        ),
        (
            "points: 1,",
            "points: 1e3,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not 1000.0",
        ),
        (
            "points: 1,",
            "points: 1e999,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not inf",
        ),
        ("points: 1,", "points: '1',", "p.yaml:8:31: earn[0].gives.points: must be a whole number, not '1'"),
        (
            "points: 1,",
            "points: null,",
            "p.yaml:8:31: earn[0].gives.points: must be a whole number, not null",
        ),
        ("points: 1,", f"points: {'9' * 50},", "must be at most 1000000, not 9999"),
        ("name: Tea Club", "name: 2026", "p.yaml:2:1: name: must be text, not 2026"),
    ],
)
def test_a_value_of_another_kind_is_not_guessed_at(old: str, new: str, message: str) -> None:
    (error,) = errors_of(GOOD.replace(old, new))
    assert message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.yaml:1:1: there is nothing in it"),
        ("# only a comment\n", "p.yaml:1:1: there is nothing in it"),
        ("just text", "p.yaml:1:1: must be a program: fields such as schema_version, name and currency"),
        ("[1, 2]", "p.yaml:1:1: must be a program: fields such as schema_version, name and currency"),
        ("null", "p.yaml:1:1: must be a program: fields such as schema_version, name and currency"),
        ("name: [", "not valid YAML: "),
        ("name: 'open", "not valid YAML: "),
        ("a: b: c", "p.yaml:1:5: not valid YAML: mapping values are not allowed"),
        ('{"name": }}', "not valid YAML"),
        (
            "name: !!python/object/apply:os.system [ls]",
            "name: the tag tag:yaml.org,2002:python/object/apply:os.system is not supported",
        ),
        ("name: !!int '5'", "name: the tag tag:yaml.org,2002:int is not supported"),
        ("a: 1\n---\nb: 2\n", "p.yaml:2:1: a second document begins here; write one program to a file"),
        (
            "base: &b {tax: true}\nbase_amount:\n  <<: *b\n",
            "p.yaml:3:3: base_amount: merge keys (<<) are not supported",
        ),
        ("? [a]\n: 1\n", "p.yaml:1:3: a field's name must be plain text"),
        ("name: *nowhere", "there is no complete value &nowhere before this"),
        ("name: &a [*a]", "there is no complete value &a before this"),
        ("name: a\x00b", "not valid YAML"),
        (b"name: caf\xe9\n", "p.yaml:1:10: is not text in UTF-8"),
        ("name: \ud800", "is not text in UTF-8"),
        ('{"name": "\\ud800"}', "not valid YAML"),
    ],
)
def test_what_is_no_program_at_all_is_refused(text: str | bytes, message: str) -> None:
    (error,) = errors_of(text)
    assert message in error


def test_an_alias_stands_for_its_value() -> None:
    text = GOOD + "redemption: &ten {minimum_points: 10}\n"
    assert load_text(text).redemption.minimum_points == 10
    text = GOOD.replace("Tea Club", "&name Tea Club").replace("id: base", "id: base\n    name: *name")
    assert load_text(text).earn[0].name == "Tea Club"


def test_an_error_within_an_alias_points_at_where_it_is_used() -> None:
    text = "x: &bad {tax: 1}\nbase_amount: *bad\n"
    assert "p.yaml:2:1: base_amount.tax: must be true or false, not 1" in errors_of(text)


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (error,) = errors_of("\n".join(lines))
    assert "more than 50000 values" in error


@pytest.mark.parametrize(
    "deep", ["[" * 100_000, "{a: " * 50_000, "name: " + "[" * 40 + "]" * 40, "- " * 1000]
)
def test_depth_is_bounded(deep: str) -> None:
    (error,) = errors_of(deep)
    assert "nested deeper than 32 levels" in error


def test_the_number_of_values_is_bounded() -> None:
    (error,) = errors_of("earn: [" + "1," * 60_000 + "]")
    assert "more than 50000 values" in error


def test_size_is_bounded(tmp_path: Path) -> None:
    five_megabytes = GOOD + "#" + "x" * 5_000_000
    assert errors_of(five_megabytes) == ["p.yaml: is larger than a program can be (1 MiB)"]
    path = tmp_path / "large.yaml"
    path.write_text(five_megabytes)
    with pytest.raises(ProgramInvalid, match="is larger than a program can be"):
        load_file(path)
    just_fits = GOOD + "#" + "x" * (LARGEST_BYTES - len(GOOD) - 1)
    assert load_text(just_fits) == load_text(GOOD)


def test_more_errors_than_anyone_reads_are_counted() -> None:
    errors = errors_of(GOOD + "".join(f"unknown{n}: 1\n" for n in range(1_000)))
    assert len(errors) == 101
    assert errors[-1] == "p.yaml: and 900 more errors"


def test_plain_data_gives_errors_with_a_path_and_no_line() -> None:
    assert parse_document(program_data()) == program()
    with pytest.raises(ProgramInvalid) as caught:
        parse_document(program_data(currency="GBPP", earn=[PER_POUND | {"id": ""}]))
    assert [(error.path, error.line, error.column) for error in caught.value.errors] == [
        ("currency", None, None),
        ("earn[0].id", None, None),
    ]
    assert str(caught.value).startswith("currency: 'GBPP' is not an ISO 4217 currency code")
    with pytest.raises(ProgramInvalid, match="must be a program"):
        parse_document(None)


@pytest.mark.parametrize(
    "name",
    ["yes", "1e3", "06-30", "2026", "null", "~", "Té #1: 'tea' \"club\"", "\U0001f375", "- a", "0123", ".5"],
)
def test_yaml_that_we_write_gives_back_an_equal_document(name: str) -> None:
    document = program(
        name=name,
        points={
            "pending": "P14D",
            "expiry": {"type": "dates", "dates": ["06-30", "12-31"], "minimum_life": "P1M"},
        },
    )
    assert load_text(to_yaml(document)) == document


@given(st.text(min_size=1, max_size=200))
def test_any_text_is_written_so_that_it_is_read_back(name: str) -> None:
    try:
        document = parse_document(program_data(name=name))
    except ProgramInvalid:
        return
    assert load_text(to_yaml(document)) == document
    assert load_text(document.model_dump_json()) == document


@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"%#,? \n\t1~\\u")), max_size=60))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    for candidate in (text, GOOD + text, "{" + text):
        with suppress(ProgramInvalid):
            load_text(candidate)
