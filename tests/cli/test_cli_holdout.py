"""`rewards program holdout` and the imports of arms, members and answers, as commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rewards.program.document import ProgramDocument


def section(stdout: str) -> dict[str, Any]:
    """What was printed, as it is when it stands in a program."""
    data = yaml.safe_load(stdout)["holdout"]
    data = {name: str(each) if name.endswith(("_at", "_end")) else each for name, each in data.items()}
    base = {"schema_version": 1, "name": "Tea", "currency": "GBP", "timezone": "Europe/London"}
    ProgramDocument.model_validate({**base, "holdout": data})
    return data


def test_a_holdout_is_worked_out_and_printed(rewards: Callable[..., Any]) -> None:
    told = rewards(
        "program",
        "holdout",
        "--baseline",
        20,
        "--lift",
        5,
        "--customers",
        12_000,
        "--starts-at",
        "2026-03-01",
    )
    assert told.exit_code == 0
    assert "10 %      140,052    14,006            64" in told.stderr
    assert "50 %      51,160     25,580            31" in told.stderr
    printed = section(told.stdout)
    assert (printed["id"], printed["share_pct"], printed["starts_at"]) == (
        "holdout-2026-03",
        20,
        "2026-03-01",
    )
    assert "staggered" not in printed
    again = section(
        rewards("program", "holdout", "--baseline", 20, "--lift", 5, "--customers", 12_000).stdout
    )
    assert again["salt"] != printed["salt"]


def test_a_small_shop_is_offered_a_staggered_start(rewards: Callable[..., Any]) -> None:
    told = rewards("program", "holdout", "--baseline", 20, "--customers", 500, "--starts-at", "2026-03-01")
    assert "nobody is left out for ever" in told.stderr
    printed = section(told.stdout)
    assert (printed["staggered"], printed["share_pct"], printed["ends_at"]) == (True, 50, "2026-05-30")
    chosen = section(
        rewards("program", "holdout", "--baseline", 20, "--customers", 500, "--share", 15).stdout
    )
    assert (chosen["share_pct"], "staggered" in chosen) == (15, False)
    money = (
        "--primary",
        "revenue-per-customer",
        "--mean",
        5_000,
        "--deviation",
        9_000,
        "--customers",
        90_000,
    )
    assert section(rewards("program", "holdout", *money).stdout)["primary"] == "revenue-per-customer"


def test_what_is_not_given_comes_from_the_orders(rewards: Callable[..., Any], tmp_path: Path) -> None:
    missing = rewards("program", "holdout")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "There are no orders to take it from; give --customers\n",
    )
    wrong = rewards("program", "holdout", "--baseline", 120, "--customers", 10)
    assert wrong.exit_code == 1
    assert len(wrong.stderr.splitlines()) == 1
    assert rewards("program", "holdout", "--primary", "profit", "--customers", 1).exit_code == 2
    # A fifth of two hundred come back, ten days later; the time between is long over.
    rows = ["order_id,customer_id,ordered_at,amount"]
    for number in range(200):
        rows.append(f"o{number},c{number},2026-05-{number % 28 + 1:02},10.00")
        if number % 5 == 0:
            rows.append(f"s{number},c{number},2026-06-15,10.00")
    file = tmp_path / "orders.csv"
    file.write_text("\n".join(rows), encoding="utf-8")
    assert rewards("import", "orders", file, "--no-award").exit_code == 0
    told = rewards("program", "holdout", "--lift", 50)
    assert "Of 200 new customers of a year 20.0% came back within 90 days." in told.stderr
    assert "with 17 new customers a month" in told.stderr


def test_arms_members_and_answers_are_imported(rewards: Callable[..., Any], tmp_path: Path) -> None:
    def write(name: str, *lines: str) -> Path:
        file = tmp_path / name
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return file

    errors = tmp_path / "errors.csv"
    arms = write("arms.csv", "customer_id,arm", "a,program", "b,holdout", "c,both")
    done = rewards("import", "assignments", arms, "--experiment", "old", "--errors", errors)
    assert done.exit_code == 0
    assert "         2 assignments imported\n" in done.stdout
    assert "1 × invalid-arm" in done.stderr
    assert "c,both" in errors.read_text(encoding="utf-8")
    nameless = rewards("import", "assignments", arms)
    assert (nameless.exit_code, len(nameless.stderr.splitlines())) == (1, 1)
    joined = write("members.csv", "customer_id,joined_at", "a,2025-01-01")
    assert "1 members imported" in rewards("import", "members", joined).stdout
    assert "1 rows already there" in rewards("import", "members", joined).stdout
    answers = write(
        "answers.csv", "survey_id,customer_id,answered_at,recommend", "old,a,2025-01-01,9", "old,b,soon,1"
    )
    done = rewards("import", "surveys", answers)
    assert done.exit_code == 0
    assert "1 answers imported" in done.stdout
    bad = write("bad.csv", "survey_id,customer_id,answered_at,recommend", "old,b,soon,1")
    assert rewards("import", "surveys", bad).exit_code == 1
    assert rewards("check").exit_code == 0
