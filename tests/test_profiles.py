"""Profiles: put, found, exported and erased, while the ledger stays whole."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from rewards.core.database import Database
from rewards.core.errors import CustomerNotFound
from rewards.decide.commands import Adjust, Award, Redeem, Reverse, Tag
from rewards.decide.submission import Submission
from rewards.engine import Engine
from rewards.ledger.referrals import code_of
from rewards.ledger.verification import verify
from rewards.profiles.erasing import erase
from rewards.profiles.exporting import export_customer
from rewards.profiles.profile import Profile, folded, surname_first, words_gone
from rewards.profiles.storing import links_void_until, put_profile, put_profiles, read_profile
from rewards.program.document import ProgramDocument
from rewards.program.versions import load_history, publish, starter_program

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ADA = Profile(
    email="Ada@Example.com",
    name="Ada Ünal",
    birthday="1990-05-17",
    joined_at=NOW,
    attributes={"country": "GB"},
)
SURVEY = {
    "id": "autumn",
    "title": "Autumn",
    "questions": [
        {"id": "score", "type": "nps", "text": "Would you?"},
        {
            "id": "why",
            "type": "choice",
            "text": "Why?",
            "options": [{"id": "price", "text": "P"}, {"id": "taste", "text": "T"}],
        },
        {"id": "more", "type": "text", "text": "More?"},
    ],
}


@pytest.fixture
def engine(database: Database) -> Engine:
    document = starter_program("USD", "UTC").model_dump(mode="json", exclude_defaults=True)
    document |= {"surveys": [SURVEY], "referrals": {}}
    document["earn"] = [
        {
            "id": "base",
            "activity": "purchase",
            "gives": {"type": "per_amount", "points": 1, "per_minor": 100},
        },
        {"id": "bring", "activity": "referral", "gives": {"type": "fixed", "points": 5}},
        {"id": "come", "activity": "referred", "gives": {"type": "fixed", "points": 5}},
    ]
    with database.engine.begin() as conn:
        publish(
            conn,
            ProgramDocument.model_validate(document),
            effective_from=NOW - timedelta(days=900),
            now=NOW,
            actor="t",
        )
    return Engine(database)


def send(engine: Engine, *commands: Any) -> list[dict[str, Any]]:
    answers = engine.execute(
        [
            Submission(each, None if isinstance(each, Tag) else f"k{number}:{each!r}"[:200], "test")
            for number, each in enumerate(commands)
        ],
        NOW,
    )
    assert all(answer.status < 300 for answer in answers), answers
    return [json.loads(answer.body) for answer in answers]


def did(customer_id: str, **activity: Any) -> Award:
    return Award.model_validate({"customer_id": customer_id, "activity": activity})


def put(database: Database, customer_id: str, profile: Profile, **more: Any) -> str:
    with database.engine.begin() as conn:
        return put_profile(conn, customer_id, profile, NOW, **more)


def profile_of(database: Database, customer_id: str) -> dict[str, Any] | None:
    with database.engine.connect() as conn:
        return read_profile(conn, customer_id)


def bodies(database: Database) -> dict[str, Any]:
    with database.engine.connect() as conn:
        return {row[0]: row[1] for row in conn.execute(text("SELECT activity_key, body FROM activities"))}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1990-05-17", "1990-05-17"),
        ("05-17", "05-17"),
        ("--05-17", "05-17"),
        ("02-29", "02-29"),
        ("2000-02-29", "2000-02-29"),
    ],
)
def test_a_birthday_may_lack_its_year(given: str, kept: str) -> None:
    assert Profile(birthday=given).birthday == kept


@pytest.mark.parametrize(
    "wrong",
    [
        {"birthday": "1999-02-29"},
        {"birthday": "17.5.1990"},
        {"birthday": "13-01"},
        {"birthday": "0001-01-01"},
        {"birthday": "٠٥-١٧"},
        {"email": "nobody"},
        {"email": "a b@c"},
        {"email": "a@b\n"},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"attributes": {"x": ["y"]}},
        {"is_admin": True},
    ],
)
def test_what_a_profile_cannot_hold_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Profile.model_validate(wrong)


def test_names_are_found_without_case_and_accents() -> None:
    assert folded("  Émile  ZOLA ") == "emile zola"
    assert folded("Straße") == "strasse"
    assert folded(" ") is None
    assert surname_first("anna maria lee") == "lee anna maria"
    assert surname_first("cher") == "cher"


def test_a_profile_is_put_whole_and_twice_is_once(database: Database) -> None:
    assert profile_of(database, "ada") is None
    assert put(database, "ada", ADA) == "created"
    assert put(database, "ada", ADA) == "unchanged"
    assert profile_of(database, "ada") == ADA.model_dump() | {
        "customer_id": "ada",
        "updated_at": NOW,
        "erased_at": None,
    }
    assert put(database, "ada", Profile(name="Ada")) == "changed"
    found = profile_of(database, "ada")
    assert found is not None
    assert (found["name"], found["email"], found["attributes"]) == ("Ada", None, {})


def test_what_is_not_said_of_many_stays(database: Database) -> None:
    put(database, "ada", ADA)
    with database.engine.begin() as conn:
        said = {"ada": {"email": None, "attributes": {"shoe": "37"}}, "ben": {"name": "Ben"}}
        assert put_profiles(conn, said, NOW) == {"ada": "changed", "ben": "created"}
        assert put_profiles(conn, said, NOW) == {"ada": "unchanged", "ben": "unchanged"}
    ada = profile_of(database, "ada")
    assert ada is not None
    assert (ada["email"], ada["name"], ada["attributes"]) == (
        None,
        "Ada Ünal",
        {"country": "GB", "shoe": "37"},
    )


def _ada_lives(database: Database, engine: Engine) -> None:
    put(database, "ada", ADA)
    item = {
        "line_id": "1",
        "sku": "TEA",
        "amount_minor": 9000,
        "attributes": {"engraving": "For Ada", "size": 3},
    }
    send(
        engine,
        did(
            "ada",
            type="purchase",
            order_id="1",
            total_minor=9000,
            currency="USD",
            items=[item, item | {"line_id": "2", "amount_minor": 0, "attributes": {}}],
            fingerprints={"device": "ada's phone"},
            attributes={"gift_note": "Dear Bob", "boxes": 2, "is_gift": True},
            channel="web",
        ),
        did(
            "ada",
            type="survey",
            survey_id="autumn",
            answers={"score": 9, "why": "taste", "more": "I am Ada Ünal"},
            comment="Call me: 555",
        ),
        did("ada", type="survey", survey_id="elsewhere", answers={"a": "words", "b": ["x"], "c": True}),
        Tag(customer_id="ada", tags=["wholesale"]),
        Redeem(customer_id="ada", points=10),
        Reverse(customer_id="ada", order_id="1", refund_id="r", amount_minor=1000),
        did("bob", type="survey", survey_id="autumn", answers={"score": 1, "why": "price", "more": "Bob"}),
    )
    with database.engine.begin() as conn:
        code_of(conn, "ada", NOW)


def test_an_erasure_takes_what_is_personal_and_the_ledger_stays_whole(
    database: Database, engine: Engine
) -> None:
    _ada_lives(database, engine)
    before = bodies(database)
    with database.engine.connect() as conn:
        entries = conn.execute(text("SELECT * FROM entries ORDER BY customer_id, seq")).all()
    erased = erase(database, engine, "ada", "admin:1", NOW)
    assert (erased.profile, erased.fingerprints, erased.activities) == (True, 1, 3)
    with database.engine.connect() as conn:
        assert conn.execute(text("SELECT * FROM entries ORDER BY customer_id, seq")).all() == entries
        rest = [
            json.dumps([list(row) for row in conn.execute(text(f"SELECT * FROM {table}"))], default=str)
            for table in ("profiles", "activities", "fingerprints", "referral_codes", "accounts")
        ]
    for words in ("Ada", "Example", "555", "phone", "Dear", "wholesale", "1990", "words", "05-17"):
        assert words not in "".join(rest), words
    after = bodies(database)
    assert after["survey:autumn"] != before["survey:autumn"]
    with database.engine.connect() as conn:
        survey = conn.scalar(
            text("SELECT body FROM activities WHERE customer_id = 'ada' AND activity_key = 'survey:autumn'")
        )
        assert survey == {
            "type": "survey",
            "survey_id": "autumn",
            "answers": {"score": 9, "why": "taste", "more": "*"},
            "comment": "*",
        }
    purchase = after["purchase:1"]
    assert purchase["attributes"] == {"gift_note": "*", "boxes": 2, "is_gift": True}
    assert purchase["items"][0]["attributes"] == {"engraving": "*", "size": 3}
    assert "fingerprints" not in purchase
    assert {name: purchase[name] for name in ("order_id", "total_minor", "channel")} == {
        "order_id": "1",
        "total_minor": 9000,
        "channel": "web",
    }
    send(engine, Reverse(customer_id="ada", order_id="1", refund_id="all", full=True))
    with database.engine.connect() as conn:
        assert verify(conn).breaks == []


def test_others_lose_nothing(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    put(database, "bob", Profile(name="Bob"))
    erase(database, engine, "ada", "admin:1", NOW)
    with database.engine.connect() as conn:
        answers = conn.scalar(text("SELECT body -> 'answers' FROM activities WHERE customer_id = 'bob'"))
    assert answers == {"score": 1, "why": "price", "more": "Bob"}
    bob = profile_of(database, "bob")
    assert bob is not None
    assert bob["name"] == "Bob"


def test_an_erasure_stays_on_record_and_can_be_done_again(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    erase(database, engine, "ada", "admin:1", NOW)
    assert erase(database, engine, "ada", "admin:1", NOW + timedelta(days=1)).activities == 0
    with database.engine.connect() as conn:
        recorded = conn.execute(text("SELECT customer_id, actor FROM erasures ORDER BY erased_at")).all()
        assert [tuple(row) for row in recorded] == [("ada", "admin:1")] * 2
        assert links_void_until(conn, "ada") == NOW + timedelta(days=31)
        assert links_void_until(conn, "bob") is None


def test_who_was_erased_is_known_again_only_where_it_is_said(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    erase(database, engine, "ada", "admin:1", NOW)
    assert put(database, "ada", ADA) == "erased"
    gone = profile_of(database, "ada")
    assert gone is not None
    assert (gone["name"], gone["email"], gone["erased_at"]) == (None, None, NOW)
    assert put(database, "ada", ADA, restores_erased=True) == "changed"
    back = profile_of(database, "ada")
    assert back is not None
    assert (back["name"], back["erased_at"]) == ("Ada Ünal", None)


def test_who_is_not_there_cannot_be_erased_and_a_mere_profile_can(database: Database, engine: Engine) -> None:
    with pytest.raises(CustomerNotFound):
        erase(database, engine, "nobody", "admin:1", NOW)
    put(database, "ada", ADA)
    assert erase(database, engine, "ada", "admin:1", NOW).profile


# What the database lets through.


REDACTED = "UPDATE activities SET body = CAST(:body AS json) WHERE customer_id = 'ada' AND activity_key = 'survey:autumn'"
GOOD = {
    "type": "survey",
    "survey_id": "autumn",
    "answers": {"score": 9, "why": "taste", "more": "*"},
    "comment": "*",
}


@pytest.mark.parametrize(
    "forged",
    [
        GOOD | {"survey_id": "other"},
        GOOD | {"comment": "Great shop!"},
        GOOD | {"answers": {"score": 10, "why": "taste", "more": "*"}},
        GOOD | {"answers": {"score": 9, "why": "price", "more": "*"}},
        GOOD | {"answers": {"score": 9}},
        GOOD | {"answers": "*"},
        GOOD | {"more": "x"},
        GOOD | {"fingerprints": {"device": "x"}},
        GOOD | {"attributes": {"x": "*"}},
        GOOD | {"items": []},
        {name: value for name, value in GOOD.items() if name != "comment"},
    ],
)
def test_after_an_erasure_too_only_words_can_go(
    database: Database, engine: Engine, forged: dict[str, Any]
) -> None:
    _ada_lives(database, engine)
    with database.engine.begin() as conn:
        conn.execute(text("INSERT INTO erasures VALUES ('ada', now(), 'test')"))
    with pytest.raises(IntegrityError, match="append-only"), database.engine.begin() as conn:
        conn.execute(text(REDACTED), {"body": json.dumps(forged)})
    with database.engine.begin() as conn:
        assert conn.execute(text(REDACTED), {"body": json.dumps(GOOD)}).rowcount == 1


def test_without_an_erasure_on_record_nothing_can_go(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    with pytest.raises(IntegrityError, match="append-only"), database.engine.begin() as conn:
        conn.execute(text(REDACTED), {"body": json.dumps(GOOD)})


def test_lines_of_an_order_stay(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    erase(database, engine, "ada", "admin:1", NOW)
    body = bodies(database)["purchase:1"]
    for items in (body["items"][:1], [body["items"][0] | {"amount_minor": 1}, body["items"][1]], []):
        with pytest.raises(IntegrityError, match="append-only"), database.engine.begin() as conn:
            conn.execute(
                text("UPDATE activities SET body = CAST(:body AS json) WHERE activity_key = 'purchase:1'"),
                {"body": json.dumps(body | {"items": items})},
            )


def test_words_gone_keeps_what_is_not_words() -> None:
    for body in (
        {"type": "review", "subject": "TEA"},
        {"type": "tier", "name": "gold", "number": 1, "attributes": {"reason": "earned"}},
    ):
        assert words_gone(body, frozenset()) == body
    assert words_gone({"answers": {"a": 1, "b": None, "c": "x"}}, frozenset("c")) == {
        "answers": {"a": 1, "b": None, "c": "x"}
    }


# What a customer is given.


def test_an_export_has_all_that_is_known_and_nothing_of_others(database: Database, engine: Engine) -> None:
    _ada_lives(database, engine)
    send(
        engine,
        did("ada", type="referral", referred_customer_id="carl"),
        Adjust(customer_id="ada", points=5, reason="x"),
    )
    with database.engine.connect() as conn:
        found = export_customer(conn, load_history(conn), "ada", NOW)
        assert export_customer(conn, load_history(conn), "nobody", NOW) is None
    assert found is not None
    assert found["profile"]["name"] == "Ada Ünal"
    assert found["tags"] == ["wholesale"]
    assert (
        sum(part["points"] for part in found["statement"]["expirations"])
        == found["entries"][-1]["balance_after"]
    )
    assert [entry["seq"] for entry in found["entries"]] == list(range(1, len(found["entries"]) + 1))
    assert found["survey_answers"][0]["comment"] == "Call me: 555"
    assert found["fingerprints"] == [{"kind": "device", "value": "ada's phone"}]
    assert found["referrals"]["own_code"]
    assert len(found["redemptions"]) == len(found["refunds"]) == 1
    assert "carl" not in json.dumps(found, default=str)
    assert "bob" not in json.dumps(found, default=str).lower().replace("dear bob", "")


def test_a_test_account_that_is_erased_is_counted_no_more_than_before(database: Database) -> None:
    now = NOW
    engine = Engine(database)
    activity = {"type": "purchase", "order_id": "1", "total_minor": 100, "currency": "USD"}
    award = Award.model_validate({"customer_id": "robot", "activity": activity})
    engine.execute(
        [Submission(award, "k", "t"), Submission(Tag(customer_id="robot", tags=["vip", "test"]), None, "t")],
        now,
    )
    erase(database, engine, "robot", "t", now)
    with database.engine.connect() as conn:
        assert conn.execute(text("SELECT tags FROM accounts")).scalar_one() == ["test"]


def test_who_is_known_from_imported_answers_alone_can_be_erased(database: Database) -> None:
    with database.engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO survey_answers (customer_id, survey_id, source, answered_at, answers)"
                " VALUES ('ghost', 'old', 'import', now(), '{\"comment\": \"call me on 555\", \"recommend\": 9}')"
            )
        )
    erase(database, Engine(database), "ghost", "t", NOW)
    with database.engine.connect() as conn:
        kept = conn.execute(
            text("SELECT answers FROM survey_answers WHERE customer_id = 'ghost'")
        ).scalar_one()
    assert "555" not in str(kept)
