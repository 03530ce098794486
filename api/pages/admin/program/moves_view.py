"""What pages show of who would move tier, worked out from a kept preview: figures in words, a matrix, and a chart."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from api.pages.admin.charts import Bar, bar_chart
from api.pages.admin.program.preview_view import Figure, figure, worth
from rewards.applying.kept import KeptMoves
from rewards.core.wording import number

NO_TIER = "no tier"


class Row(NamedTuple):
    """Where the customers of one tier would go: for each tier how many, and whether it is the one they are in."""

    name: str
    cells: list[tuple[str, str, bool]]


class MovesView(NamedTuple):
    """All that a page shows of a preview, but for the list of customers."""

    preview_id: str
    digest: str
    told: str
    moved: int
    stats: list[tuple[str, str]]
    figures: list[Figure]
    columns: list[tuple[str, str, str]]
    rows: list[Row]
    chart: Markup


def moves_view(kept: KeptMoves) -> MovesView:
    """Return what a page shows of a kept preview; drawing takes a moment, so call it from a thread."""
    report = kept.report
    names = names_of(report)
    tiers = [tier for tier in names if _is_there(report, tier)]
    customers, moved = report["customers"], report["moved"]
    return MovesView(
        preview_id=kept.preview_id,
        digest=kept.digest,
        told=f"{number(moved)} of {number(customers)} customers would move if it were published now."
        if moved
        else f"None of {number(customers)} customers would move if it were published now.",
        moved=moved,
        stats=[
            ("Up", number(report["up"])),
            ("Down", number(report["down"])),
            ("Stay", number(report["unchanged"])),
        ],
        figures=[
            worth("Worth of points, by tier", report["value_minor"], report),
            figure("Extra points a year", report["points_per_year"]),
        ],
        columns=[("", names[tier], "num") for tier in tiers],
        rows=[
            Row(
                names[tier],
                [
                    (
                        names[other],
                        number(count) if (count := _count(report, tier, other)) else "",
                        tier == other,
                    )
                    for other in tiers
                ],
            )
            for tier in tiers
            if any(_count(report, tier, other) for other in tiers)
        ],
        chart=bar_chart(
            [Bar(names[tier], names[tier], _before_and_after(report, tier)) for tier in tiers],
            "Customers by tier",
            series=("Now", "Then"),
            heading="Tier",
        ),
    )


def names_of(report: Mapping[str, Any]) -> dict[str | None, str]:
    """Return the tiers of a preview by id, lowest first, with none at all before them."""
    return {None: NO_TIER, **{tier["id"]: tier["name"] for tier in report["tiers"]}}


def steps_of(report: Mapping[str, Any]) -> Sequence[tuple[str | None, str | None, int]]:
    """Return the steps that somebody takes, with how many do."""
    return [
        (each["from"], each["to"], each["customers"])
        for each in report["matrix"]
        if each["from"] != each["to"]
    ]


def _is_there(report: Mapping[str, Any], tier: str | None) -> bool:
    return tier is not None or any(None in (each["from"], each["to"]) for each in report["matrix"])


def _count(report: Mapping[str, Any], came_from: str | None, goes_to: str | None) -> int:
    return sum(
        each["customers"] for each in report["matrix"] if each["from"] == came_from and each["to"] == goes_to
    )


def _before_and_after(report: Mapping[str, Any], tier: str | None) -> tuple[int, int]:
    sides = (
        sum(each["customers"] for each in report["matrix"] if each[side] == tier) for side in ("from", "to")
    )
    return next(sides), next(sides)
