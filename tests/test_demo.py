import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rewards.core.database import Database
from rewards.core.errors import SetupError
from rewards.core.keys import list_keys
from rewards.core.settings import Settings
from rewards.decide.commands import Award, Signup
from rewards.decide.submission import Submission
from rewards.demo import shop
from rewards.demo.loading import PROGRAM, load
from rewards.demo.people import profile_of
from rewards.engine import Engine
from rewards.ledger.verification import verify
from rewards.program.loading import load_file

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def test_the_shop_is_the_same_each_time() -> None:
    opened_on = date(2024, 11, 3)
    happened = shop.events(opened_on)
    assert happened == shop.events(opened_on)
    assert [event.at for event in happened] == sorted(event.at for event in happened)
    kinds = {type(event) for event in happened}
    assert kinds == {
        shop.SignedUp, shop.Ordered, shop.SentBack, shop.Answered, shop.Reviewed, shop.WasCredited
    }  # fmt: skip
    orders = [event for event in happened if isinstance(event, shop.Ordered)]
    assert len({order.order_id for order in orders}) == len(orders) > 4000
    assert len({event.customer_id for event in happened}) >= 1000
    assert timedelta(days=700) < happened[-1].at - happened[0].at
    ended = opened_on + timedelta(days=shop.DAYS)
    assert happened[0].at.date() >= opened_on
    assert all(order.at.date() <= ended for order in orders)


def test_the_shops_lots_are_its_programs_and_the_true_effect_is_known() -> None:
    holdout = load_file(PROGRAM).holdout
    assert holdout is not None
    assert (holdout.salt, holdout.share_pct) == (shop.HOLDOUT_SALT, shop.HOLDOUT_PCT)
    opened_on = date(2024, 11, 3)

    def came_back(takes_part: Callable[[str], bool]) -> dict[str, bool]:
        first: dict[str, date] = {}
        came: dict[str, bool] = {}
        for event in shop.events(opened_on, takes_part):
            if isinstance(event, shop.Ordered):
                day = first.setdefault(event.customer_id, event.at.date())
                is_second = 0 < (event.at.date() - day).days < 90
                came[event.customer_id] = came.get(event.customer_id, False) or is_second
        over = opened_on + timedelta(days=shop.DAYS - 90)
        return {who: back for who, back in came.items() if first[who] < over}

    program, holdout_, drawn = (
        came_back(lambda _: True),
        came_back(lambda _: False),
        came_back(shop.takes_part),
    )
    rate = {name: sum(each.values()) / len(each) for name, each in (("with", program), ("without", holdout_))}
    assert 0.06 < rate["with"] - rate["without"] < 0.08
    # Nobody's life depends on another's arm.
    assert drawn == {who: (program if shop.takes_part(who) else holdout_)[who] for who in drawn}
    held_out = [who for who in drawn if not shop.takes_part(who)]
    inside = [who for who in drawn if shop.takes_part(who)]
    assert len(held_out) / len(drawn) == pytest.approx(0.2, abs=0.03)
    shown = sum(drawn[who] for who in inside) / len(inside) - sum(drawn[who] for who in held_out) / len(
        held_out
    )
    assert shown == pytest.approx(rate["with"] - rate["without"], abs=0.03)
    assert shop.takes_part("customer-1201")


def test_the_shops_program_gives_for_all_that_happens() -> None:
    program = load_file(PROGRAM)
    assert {rule.activity for rule in program.earn} == {
        "purchase", "signup", "birthday", "anniversary", "survey", "review", "referral", "tier"
    }  # fmt: skip


def test_its_customers_are_the_same_people_each_time_and_nobody_real() -> None:
    people = [profile_of(f"customer-{number:04}") for number in range(1, 1_202)]
    assert people == [profile_of(f"customer-{number:04}") for number in range(1, 1_202)]
    assert len({person.email for person in people}) == len(people)
    assert all((person.email or "").endswith("@example.com") for person in people)
    assert {len(person.birthday or "") for person in people} == {0, 5, 10}


@pytest.mark.slow
def test_an_interrupted_load_goes_on_and_a_loaded_shop_is_reused(database: Database) -> None:
    def stop_half_way(stage: str, done: int, total: int | None) -> None:
        if done > 365:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(database, NOW, stop_half_way)
    # Run again the next day, it is still the shop that was begun.
    loaded = load(database, NOW + timedelta(days=1))
    assert not loaded.was_there
    assert loaded.customers >= 1000
    assert [what for _, what in loaded.worth_a_look] == [
        "has the most points to spend, and a hold for a day",
        "has points that expire soon",
        "owes points: sent back what had earned them, after spending them",
    ]
    with database.engine.connect() as connection:
        refused = connection.scalar(text("SELECT count(*) FROM commands WHERE status >= 400"))
        shown = connection.execute(
            text("SELECT min(available), min(pending), min(held) FROM accounts WHERE held > 0")
        ).one()
        kinds = set(connection.scalars(text("SELECT DISTINCT kind FROM entries")))
        versions = connection.scalar(text("SELECT count(DISTINCT program_version) FROM entries"))
    with database.engine.connect() as connection:
        assert verify(connection).ok
    assert refused is not None
    assert refused < loaded.commands / 500
    assert shown[0] > 0
    assert shown[2] == 500
    assert kinds >= {"award", "clawback", "redeem", "reinstate", "hold", "release", "adjust", "expire"}
    assert versions == 2

    again = load(database, NOW + timedelta(days=3))
    assert again.was_there
    assert (again.customers, again.commands) == (loaded.customers, loaded.commands)


def test_a_shop_that_is_not_the_demo_is_left_alone(database: Database) -> None:
    join = Award(customer_id="c-1", activity=Signup(type="signup"))
    Engine(database).execute([Submission(join, "s-1", "test")], NOW)
    with pytest.raises(SetupError, match="has a shop of its own"):
        load(database, NOW)


@pytest.mark.slow
def test_the_demo_says_where_to_look_and_renews_its_keys(
    rewards_demo: Callable[..., Any], database: Database
) -> None:
    first, second = rewards_demo(), rewards_demo()
    assert "two years of them" in first.stderr
    assert "is there already" in second.stderr
    for shown in (first.stdout, second.stdout):
        assert len(re.findall(r"http://127.0.0.1:8123/me/\S+", shown)) == 3
        assert len(re.findall(r"http://127.0.0.1:8123/s/\S+", shown)) == 1
        assert "http://127.0.0.1:8123/docs" in shown
        (curl,) = re.findall(r"^  curl .*$", shown, re.MULTILINE)
        (key,) = re.findall(r"Storefront key: +(\S+)", shown)
        assert f"Bearer {key}" in curl
    with database.engine.connect() as connection:
        keys = list_keys(connection)
    valid = [(key.scope, key.revoked_at is None) for key in keys]
    assert sorted(valid) == [("admin", False), ("admin", True), ("storefront", False), ("storefront", True)]


@pytest.fixture
def rewards_demo(settings: Settings, tmp_path: Path) -> Callable[..., Any]:
    import os
    import subprocess
    import sys

    def run() -> Any:
        assert settings.database_url is not None
        assert settings.secret_key is not None
        variables = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "REWARDS_DATABASE_URL": settings.database_url.get_secret_value(),
            "REWARDS_SECRET_KEY": settings.secret_key.get_secret_value(),
        }
        return subprocess.run(
            [sys.executable, "-m", "rewards.cli", "demo", "--no-serve", "--port", "8123"],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )

    return run
