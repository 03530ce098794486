"""The forms hold every program: what is posted back as it was shown is the very same document."""

import json
from typing import Any

import pytest
import yaml
from forms_posted import posted, shown
from hypothesis import given
from hypothesis import strategies as st
from rule_documents import documents
from sample_programs import PER_POUND, program_data, rule
from worked_programs import PAGE, completed, read_page

from api.pages.document_form.editing import EditRefused, apply
from api.pages.document_form.kinds import ABSENT, ListKind, OneOfKind, RawKind, SectionKind, document_kind
from api.pages.document_form.naming import name_of, path_in_text
from api.pages.document_form.nodes import Remark, walk
from api.pages.document_form.plain import period_from_words, period_in_words
from api.pages.document_form.reading import read_section
from api.pages.document_form.showing import Form
from rewards.program.document import ProgramDocument
from rewards.program.drafts import document_data
from rewards.program.durations import parse_duration
from rewards.program.loading import ProgramInvalid, load_text, parse_document

LADDER = {
    "tiers": [
        {"id": "bronze", "name": "Bronze"},
        {
            "id": "silver",
            "name": "Silver",
            "ways_in": [
                {"spend_minor": 50_000, "window": {"type": "rolling", "period": "P1Y6M"}},
                {"when": 'customer.purchases > 3 &&\n"a" == "a"'},
            ],
            "needs": "all",
            "earn_multiplier_pct": 150,
            "expiry": {"type": "dates", "dates": ["12-31"], "minimum_life": "P1M"},
            "perks": [{"id": "ship", "name": "Free shipping", "active": {"from": "2026-11-01"}}],
        },
    ],
    "window": {"type": "calendar"},
    "lasts": {"type": "period_end", "more_periods": 1},
    "downgrade": {"to": "one_lower", "grace": "P1M", "round_up_to": "month"},
}
SURVEY = {
    "id": "nps-2026q4",
    "title": "How are we doing?",
    "introduction": "  Two minutes <b>only</b>.",
    "opens": "2026-11-01",
    "template": "customer_loyalty_index",
    "questions": [
        {"id": "a", "type": "nps", "text": "Would you?", "required": False},
        {"id": "b", "type": "scale", "text": "?", "lowest": -2, "highest": 2, "better": "low",
         "labels": {"lowest": "no", "highest": "yes"}},
        {"id": "c", "type": "choice", "text": "&amp;", "multiple": True,
         "options": [{"id": "x", "text": "X"}, {"id": "y", "text": "\"Y\""}]},
        {"id": "d", "type": "text", "text": "Why?", "max_length": 10},
    ],
}  # fmt: skip
EVERYTHING = program_data(
    currency="JPY",
    earn=[
        PER_POUND,
        rule("more", type="multiplier", multiplier_pct=200, of=["base"])
        | {
            "windows": [
                {"days": ["SU", "MO", "SU"], "month_days": [-1, 3], "months": [12, 1], "from": "18:00"}
            ],
            "active": {"until": "2026-12-31T23:59:59"},
        },
        rule("friend", "referral", type="fixed", points=100),
    ],
    surveys=[SURVEY],
    referrals={
        "guards": {"velocity": {"count": 3, "within": "PT36H", "then": "reject"}},
        "minimum_order_minor": 10,
    },
    ladder=LADDER,
)


HELD_OUT = program_data(
    no_holdout=None,
    holdout={
        "id": "spring",
        "salt": "a-salt-of-the-tests",
        "share_pct": 12.5,
        "starts_at": "2026-03-01",
        "ends_at": "2026-09-01T06:00",
        "planned_end": "2026-08-01",
        "eligible": "all",
        "primary": "revenue-per-customer",
        "staggered": True,
    },
)


def posted_back(data: Any, currency: str) -> Any:
    return read_section(posted(shown(data, currency=currency)), document_kind(), (), data, currency=currency)


def worked() -> list[ProgramDocument]:
    both = (each.documents() for each in read_page(PAGE.read_text())[0])
    return [document for pair in both for document in pair if document is not None]


def examples_of_the_guide() -> list[ProgramDocument]:
    guide = PAGE.parent / "program.md"
    found = []
    for block in guide.read_text().split("```yaml")[1:]:
        text = block.partition("\n")[2].partition("```")[0]
        try:
            found.append(load_text(completed(text)))
        except (ProgramInvalid, yaml.YAMLError):
            continue  # an example of what is wrong
    return found


def test_worked_programs_come_back_as_they_were() -> None:
    programs = [*worked(), *examples_of_the_guide(), ProgramDocument.model_validate(EVERYTHING)]
    programs += [ProgramDocument.model_validate(HELD_OUT)]
    programs += [
        ProgramDocument.model_validate(HELD_OUT | {"holdout": HELD_OUT["holdout"] | {"share_pct": 10}})
    ]
    assert len(programs) > 80
    for document in programs:
        data = document_data(document)
        back = posted_back(data, document.currency)
        assert json.dumps(back) == json.dumps(data)
        assert ProgramDocument.model_validate(back) == document


def test_the_samples_hold_every_kind_of_field() -> None:
    """What no sample has would be tested by nothing."""
    data = document_data(ProgramDocument.model_validate(EVERYTHING))
    names = set(posted(shown(data)))
    assert {name.rpartition(".")[2] for name in names} > {
        "when",
        "dates",
        "days!was",
        "required",
        "round_up_to",
    }


@given(documents())
def test_any_program_comes_back_as_it_was(data: dict[str, Any]) -> None:
    document = ProgramDocument.model_validate(data)
    back = posted_back(document_data(document), document.currency)
    assert back == document_data(document)
    # What is written out although it is as by default, is no more; the program is the same.
    assert ProgramDocument.model_validate(posted_back(data, document.currency)) == document


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", " ", "abc", "P1X", "14 days", "1.005", "1,000", "2026-02-30", "nul\tl", "a\nb", "[", "<b>"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "id", "points", "a b", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A program with something else in place of some of its values."""
    data = json.loads(
        json.dumps(EVERYTHING | {"currency": draw(st.sampled_from(["GBP", "JPY", "KWD", "?"]))})
    )
    for _ in range(draw(st.integers(1, 4))):
        held = data
        while True:
            keys = list(held) if isinstance(held, dict) else list(range(len(held)))
            key = draw(st.sampled_from(keys))
            if isinstance(held[key], dict | list) and held[key] and draw(st.integers(0, 3)):
                held = held[key]
                continue
            held[key] = draw(JUNK)
            break
    return data


def errors_of(data: Any) -> list[str]:
    try:
        parse_document(data)
    except ProgramInvalid as invalid:
        return [error.path for error in invalid.errors]
    return []


@given(spoilt())
def test_what_is_wrong_is_shown_and_kept(data: dict[str, Any]) -> None:
    currency = str(data["currency"])
    once = posted_back(data, currency)
    assert posted_back(once, currency) == once
    remarks = [Remark(path_in_text(path), "error", f"wrong: {path}") for path in errors_of(once)]
    root = Form(currency=currency, remarks=remarks).section(document_kind(), once, (), "Program")
    nodes = {node.name: node for node in walk(root)}
    assert len(nodes) == len(list(walk(root)))
    for remark in remarks:
        at = remark.path
        while name_of(at) not in nodes:
            at = at[:-1]
        # Beside its field, or what the field says in better words.
        assert any(each in (remark, each._replace(path=())) for each in nodes[name_of(at)].remarks)


@given(documents(), st.data())
def test_a_wrong_number_stays_as_it_was_typed(data: dict[str, Any], choices: st.DataObject) -> None:
    form = posted(shown(data, currency="USD"))
    name = choices.draw(st.sampled_from([each for each in form if each.endswith((".points", ".per_minor"))]))
    if form[name] == ["off"] or "on" in form[name]:
        return  # not the number, but whether to earn on what points paid
    form[name] = ["twelve"]
    back = read_section(form, document_kind(), (), data, currency="USD")
    html = shown(back, currency="USD")
    assert posted(html)[name] == ["twelve"]
    assert "is not a whole number" in html or "is not an amount" in html


def test_money_is_typed_in_major_units() -> None:
    form = posted(shown(EVERYTHING | {"currency": "GBP"}))
    assert form["d.ladder.tiers.1.ways_in.0.spend_minor"] == ["500.00"]
    for typed, minor in (("1,250.5", 125050), ("7", 700), ("0.001", "0.001"), ("-3", -300)):
        form["d.ladder.tiers.1.ways_in.0.spend_minor"] = [typed]
        back = read_section(form, document_kind(), (), EVERYTHING, currency="GBP")
        assert back["ladder"]["tiers"][1]["ways_in"][0]["spend_minor"] == minor


@pytest.mark.parametrize(
    ("iso", "words"),
    [
        ("P14D", "14 days"), ("P1Y6M", "1 year 6 months"), ("PT30M", "30 minutes"), ("P0D", "0 days"),
        ("P1M", "1 month"), ("P2W", "2 weeks"), ("P1DT2H", "1 day 2 hours"), ("P014D", "P014D"), ("soon", "soon"),
    ],
)  # fmt: skip
def test_periods_are_in_words(iso: str, words: str) -> None:
    assert period_in_words(iso) == words
    assert period_from_words(words) == iso


@pytest.mark.parametrize(
    ("typed", "iso"),
    [("1 Year and 6 months", "P1Y6M"), ("p14d", "P14D"), ("14days", "P14D"), ("6 months, 1 year", None), ("", None),
     ("14 days later", None), ("1 day 1 day", None)],
)  # fmt: skip
def test_periods_are_understood_as_people_write_them(typed: str, iso: str | None) -> None:
    assert period_from_words(typed) == (typed if iso is None else iso)


@given(st.tuples(*[st.none() | st.integers(0, 400)] * 7))
def test_every_period_comes_back(counts: tuple[int | None, ...]) -> None:
    date = "".join(
        f"{count}{unit}" for count, unit in zip(counts[:4], "YMWD", strict=True) if count is not None
    )
    time = "".join(
        f"{count}{unit}" for count, unit in zip(counts[4:], "HMS", strict=True) if count is not None
    )
    iso = f"P{date}{'T' + time if time else ''}"
    try:
        parse_duration(iso)
    except ValueError:
        return
    assert period_from_words(period_in_words(iso)) == iso
    assert "P" not in period_in_words(iso)


# Buttons


def test_items_are_added_copied_moved_and_removed() -> None:
    data = document_data(ProgramDocument.model_validate(EVERYTHING))
    added, at, is_new = apply(data, "add:d.earn")
    assert (added["earn"][3], at, is_new) == ({}, ("earn", 3), True)
    copied, at, _ = apply(data, "copy:d.earn.0")
    assert [each["id"] for each in copied["earn"]] == ["base", "base-2", "more", "friend"]
    assert at == ("earn", 1)
    moved, at, _ = apply(data, "down:d.earn.0")
    assert ([each["id"] for each in moved["earn"]], at) == (["more", "base", "friend"], ("earn", 1))
    assert apply(moved, "up:d.earn.1")[0] == data
    assert apply(data, "up:d.earn.0")[0] == data
    removed, at, _ = apply(data, "remove:d.ladder.tiers.1.ways_in.0")
    assert removed["ladder"]["tiers"][1]["ways_in"] == [LADDER["tiers"][1]["ways_in"][1]]  # type: ignore[index]
    question = apply(data, "add:d.surveys.0.questions")[0]["surveys"][0]["questions"][4]
    assert question == {"type": "nps"}
    assert data == document_data(ProgramDocument.model_validate(EVERYTHING)), "it was changed in place"


def test_sections_are_put_in_and_dropped() -> None:
    data = program_data()
    with_referrals = apply(data, "put:d.referrals")[0]
    assert with_referrals["referrals"] == {}
    assert posted_back(with_referrals, "GBP")["referrals"] == {}
    assert apply(with_referrals, "drop:d.referrals")[0] == data
    assert apply(data | {"ladder": None}, "add:d.ladder.tiers")[0]["ladder"] == {"tiers": [{}]}


@pytest.mark.parametrize(
    "action",
    ["add:d.name", "add:d.earn.0", "add:d", "add:x.earn", "remove:d.earn.9", "remove:d.earn", "put:d.name", "", "add:",
     "burn:d.earn.0", "add:d.__class__", "remove:d.earn.00000000000", "add:d.earn.0.gives.caps", "copy:d.name"],
)  # fmt: skip
def test_a_button_without_a_place_is_refused(action: str) -> None:
    with pytest.raises(EditRefused):
        apply(program_data(), action)


def test_another_kind_keeps_what_both_have() -> None:
    form = posted(shown(program_data()))
    form["d.earn.0.gives.type"] = ["fixed"]
    back = read_section(form, document_kind(), (), None, currency="GBP")
    assert back["earn"][0]["gives"] == {"type": "fixed", "points": 1}
    form["d.earn.0.gives.type"] = [""]
    assert "gives" not in read_section(form, document_kind(), (), None, currency="GBP")["earn"][0]


@pytest.mark.parametrize(
    ("typed", "value"),
    [("10", 10.0), ("12.5", 12.5), (" 7.25 ", 7.25), ("1,000.5", 1000.5), ("half", "half"), ("", None)],
)
def test_a_number_with_decimals_is_read(typed: str, value: float | str | None) -> None:
    form = {"d.holdout": ["+"], "d.holdout.share_pct": [typed]}
    back = read_section(form, document_kind(), (), None, currency="GBP")
    assert back["holdout"].get("share_pct") == value
    if isinstance(value, str):
        assert "is not a number" in shown({"holdout": {"share_pct": value}})
    elif value is not None:
        assert type(back["holdout"]["share_pct"]) is float


def test_no_part_of_the_document_needs_to_be_edited_as_yaml() -> None:
    def kinds(kind: Any) -> Any:
        yield kind
        inner = kind.fields if isinstance(kind, SectionKind) else ()
        for field in inner:
            yield from kinds(field.kind)
        if isinstance(kind, ListKind):
            yield from kinds(kind.item)
        for variant in kind.variants.values() if isinstance(kind, OneOfKind) else ():
            yield from kinds(variant)

    assert [kind for kind in kinds(document_kind()) if isinstance(kind, RawKind)] == []


def test_whatever_is_posted_is_read() -> None:
    """Names and values may be anyone's invention."""
    form = {
        "d.earn": ["x"], "d.earn.0": ["+"], "d.earn.9999": ["+"], "d.earn.x": ["+"], "d..": [""], "d.earn.0.gives!raw": ["}"],
        "d.name!raw": ["[1"], "d.points!more": ["5"], "d.referrals!raw": ["{a: 1}"], "d.caps": [""], "d": ["x"],
    }  # fmt: skip
    back = read_section(form, document_kind(), (), None, currency="GBP")
    assert back["earn"] == [{"gives": "}"}, {}]
    assert back["name"] == "[1"
    assert back["referrals"] == {"a": 1}
    assert ABSENT not in back.values()
