import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = """\
schema_version: 1
name: Tea club
currency: GBP
timezone: Europe/London
no_holdout: Nothing is measured in a test
earn:
  - id: base
    activity: purchase
    gives: { type: per_amount, points: 1, per_minor: 100 }
"""


def test_a_program_is_validated_published_and_shown(rewards: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "program.yaml"
    file.write_text(PROGRAM, encoding="utf-8")
    assert rewards("program", "validate", file).exit_code == 0

    published = rewards("program", "publish", file, "--effective-from", "2020-01-01", "--note", "A new name")
    assert published.exit_code == 0
    assert "name: Starter program → Tea club" in published.stderr
    # Without an offset the time is in the program's zone.
    assert published.stderr.endswith("Published as version 2, effective from 2020-01-01T00:00:00+00:00\n")

    shown = rewards("program", "show")
    assert "name: Tea club" in shown.stdout
    assert shown.stdout.startswith("schema_version: 1")
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout, encoding="utf-8")
    assert rewards("program", "validate", again).exit_code == 0
    assert "name: Starter program" in rewards("program", "show", "--version", 1).stdout

    listed = rewards("program", "history").stdout.splitlines()
    assert len(listed) == 3
    assert listed[2].startswith("* ")
    assert listed[2].endswith("Tea club         A new name")


def test_errors_of_a_program_are_named_with_their_line(rewards: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "program.yaml"
    file.write_text(PROGRAM.replace("GBP", "GBPP").replace("points: 1", "points: 0"), encoding="utf-8")
    for command in ("validate", "publish"):
        refused = rewards("program", command, file)
        assert (refused.exit_code, refused.stdout) == (1, "")
        first, second = refused.stderr.splitlines()
        assert first.startswith(f"{file}:3:")
        assert second.startswith(f"{file}:9:")
    assert len(rewards("program", "history").stdout.splitlines()) == 2


def test_a_file_that_is_not_there_is_one_line(rewards: Callable[..., Any], tmp_path: Path) -> None:
    missing = rewards("program", "validate", tmp_path / "missing.yaml")
    assert missing.exit_code == 1
    assert len(missing.stderr.splitlines()) == 1
    unknown = rewards("program", "show", "--version", 9)
    assert (unknown.exit_code, unknown.stderr) == (
        1,
        "There is no program version 9; `rewards program history` lists them\n",
    )
    file = tmp_path / "program.yaml"
    file.write_text(PROGRAM, encoding="utf-8")
    late = rewards("program", "publish", file, "--effective-from", "tomorrow")
    assert (late.exit_code, late.stderr) == (
        1,
        "'tomorrow' is not a time; write it like 2026-11-01T12:00:00Z\n",
    )


def test_the_schema_is_json(rewards: Callable[..., Any]) -> None:
    schema = json.loads(rewards("program", "schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "earn" in schema["properties"]


def test_what_is_hardly_meant_is_warned_of(rewards: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "program.yaml"
    file.write_text(PROGRAM + '    when: "time.hour == 25"\n', encoding="utf-8")
    for command in ("validate", "publish"):
        done = rewards("program", command, file)
        assert done.exit_code == 0
        assert done.stderr.startswith(f"warning: {file}:10:5: earn[0].when: the rule never applies: ")


def test_an_old_version_is_published_again(rewards: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "program.yaml"
    file.write_text(PROGRAM, encoding="utf-8")
    assert rewards("program", "publish", file).exit_code == 0
    again = rewards("program", "publish", "--again", 1)
    assert again.exit_code == 0
    assert "name: Tea club → Starter program" in again.stderr
    assert (
        rewards("program", "show", "--version", 3).stdout == rewards("program", "show", "--version", 1).stdout
    )
    assert rewards("program", "publish", "--again", 9).exit_code == 1
    listed = rewards("program", "history", "--changes").stdout
    assert "    name: Starter program → Tea club\n" in listed
    assert listed.rstrip().splitlines()[-1].startswith("    ")
    assert len(rewards("program", "history").stdout.splitlines()) == 4
    for wrong in ((), (file, "--again", 1)):
        assert rewards("program", "publish", *wrong).exit_code == 2
