import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """\
schema_version: 1
name: Tea club
currency: USD
timezone: UTC
earn:
  - id: base
    activity: purchase
    gives: { type: per_amount, points: 2, per_minor: 100 }
"""
ORDERS = """\
order_id,customer_id,ordered_at,amount,is_return
1,c-1,2026-01-01T12:00:00,40.00,0
2,c-2,2026-02-01T12:00:00,60.00,0
3,c-2,2026-03-01T12:00:00,-60.00,1
"""


@pytest.fixture
def draft(rewards: Callable[..., Any], tmp_path: Path) -> Path:
    orders = tmp_path / "orders.csv"
    orders.write_text(ORDERS, encoding="utf-8")
    assert rewards("import", "orders", orders).exit_code == 0
    file = tmp_path / "draft.yaml"
    file.write_text(PROGRAM, encoding="utf-8")
    return file


def test_a_preview_is_a_table(rewards: Callable[..., Any], draft: Path) -> None:
    shown = rewards("program", "preview", draft)
    assert shown.exit_code == 0
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0][:6] == ["2", "activities", "of", "2", "customers", "replayed"]
    assert ["points", "issued", "100", "200", "+100.0%"] in lines
    assert ["clawed", "back", "60", "120", "+100.0%"] in lines
    assert ["base", "100", "200", "+100.0%"] in lines
    assert ["2026-02", "60", "120", "0", "0", "0", "0", "0", "0"] in lines
    assert ["worth", "of", "points", "issued", "1.00", "USD", "2.00", "USD", "+100.0%"] in lines
    assert len(rewards("program", "history").stdout.splitlines()) == 2


def test_a_preview_as_json(rewards: Callable[..., Any], draft: Path) -> None:
    told = json.loads(rewards("program", "preview", draft, "--json", "--since", "2026-02-01").stdout)
    assert told["totals"]["issued"] == {"before": 60, "after": 120}
    assert told["since"] == "2026-02-01T00:00:00Z"
    sampled = json.loads(rewards("program", "preview", draft, "--json", "--sample", "1").stdout)
    assert sampled["sample"]["of"] == 2
    assert "Estimates for all 2 customers" in rewards("program", "preview", draft, "--sample", "1").stdout


def test_the_program_in_force_changes_nothing(rewards: Callable[..., Any], draft: Path) -> None:
    draft.write_text(rewards("program", "show").stdout, encoding="utf-8")
    assert "No customer's balance changes." in rewards("program", "preview", draft).stdout


def test_what_is_wrong_is_told_as_validate_tells_it(rewards: Callable[..., Any], draft: Path) -> None:
    draft.write_text(PROGRAM.replace("points: 2", "points: 0"), encoding="utf-8")
    refused, validated = (rewards("program", command, draft) for command in ("preview", "validate"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == validated.stderr
    assert rewards("program", "preview", draft, "--sample", "some").exit_code == 2
    draft.write_text(PROGRAM, encoding="utf-8")
    assert rewards("program", "preview", draft, "--since", "tomorrow").exit_code == 1


def test_the_guides_example(rewards: Callable[..., Any], tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "preview.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(yaml|csv|text)\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks] == ["yaml", "csv", "yaml", "text", "yaml", "yaml", "text"]
    in_force, orders, draft = (tmp_path / name for name in ("program.yaml", "orders.csv", "draft.yaml"))
    for file, (_, content) in zip((in_force, orders, draft), blocks, strict=False):
        file.write_text(content, encoding="utf-8")
    assert rewards("program", "publish", in_force, "--effective-from", "1970-01-01").exit_code == 0
    assert rewards("import", "orders", orders).exit_code == 0
    printed = rewards("program", "preview", draft).stdout
    passing = re.compile(r" in [\d.]+ s, as of .*Z")
    assert passing.sub("", printed) == passing.sub("", blocks[3][1])
    in_force.write_text(blocks[0][1] + blocks[4][1], encoding="utf-8")
    draft.write_text(blocks[0][1] + blocks[5][1], encoding="utf-8")
    assert rewards("program", "publish", in_force, "--effective-from", "1970-01-02").exit_code == 0
    printed = rewards("program", "preview", draft).stdout
    taking = re.compile(r" \([\d.]+ s\)$", re.MULTILINE)
    moves = printed[printed.index("1 of 3 customers would move tier") :]
    assert taking.sub("", moves) == taking.sub("", blocks[6][1])


LADDER = """\
ladder:
  tiers:
  - { id: member, name: Member }
  - { id: gold, name: Gold, ways_in: [{ spend_minor: LEAST }], redemption_value_pct: 150 }
"""


def test_who_moves_is_printed_written_and_published(
    rewards: Callable[..., Any], draft: Path, tmp_path: Path
) -> None:
    draft.write_text(PROGRAM + LADDER.replace("LEAST", "3000"), encoding="utf-8")
    file = tmp_path / "moves.csv"
    shown = rewards("program", "preview", draft, "--moves", file)
    assert shown.exit_code == 0, shown.output
    assert "2 of 2 customers would move tier if it were published now: 2 up, 0 down" in shown.stdout
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["FROM", "\\", "TO", "–", "Member", "Gold"] in lines
    assert ["–", "1", "1"] in lines
    assert ["c-1", "–", "Gold"] in lines
    assert "The 40 points that customers have are worth 0.40 USD now, 0.60 USD then." in shown.stdout
    assert file.read_text(encoding="utf-8").splitlines() == [
        "customer_id,from,to,until",
        "c-1,,gold,",
        "c-2,,member,",
    ]
    told = json.loads(rewards("program", "preview", draft, "--json").stdout)["moves"]
    assert f"--expect-moves {told['digest']}" in shown.stdout
    published = rewards("program", "publish", draft, "--expect-moves", told["digest"])
    assert published.exit_code == 0, published.output
    assert "Customers are brought up to its ladder by the scheduler, or at once by" in published.stderr
    job = rewards("jobs", "run", "tiers")
    assert (
        "All customers are brought up to the ladder; 2 came into another tier. Each moved as was previewed."
        in job.stdout
    )
    draft.write_text(PROGRAM + LADDER.replace("LEAST", "9000"), encoding="utf-8")
    outdated = rewards("program", "publish", draft, "--expect-moves", told["digest"])
    assert outdated.exit_code == 1
    assert "2 customers would now move otherwise than was previewed; 1 would move now." in outdated.stderr
    again = rewards("program", "preview", draft)
    assert "1 of 2 customers would move tier if it were published now: 0 up, 1 down" in again.stdout
