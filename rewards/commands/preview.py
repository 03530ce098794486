"""`rewards program preview`: what a program would have done with the shop's own history."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rewards.commands.console import open_database, parse_instant, say, shown_progress, table
from rewards.core.clock import utc_now

if TYPE_CHECKING:
    from rewards.preview import PreviewReport
    from rewards.preview.moves import MovesReport
    from rewards.preview.report import Change, Flows, Mover

#: So many of the customers most changed are printed; --json has them all.
MOST_PRINTED = 5
_SAMPLES = "all, auto or a number of customers"


def _sample(text: str) -> str:
    if text not in ("all", "auto") and not (text.isdecimal() and int(text) > 0):
        raise typer.BadParameter(f"{text!r} is not {_SAMPLES}")
    return text


def preview(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A program as YAML or JSON.", show_default=False)
    ],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From when on it would have been in force; always if not given."),
    ] = None,
    sample: Annotated[
        str,
        typer.Option(
            callback=_sample,
            metavar="N|all|auto",
            help="How many customers to replay; auto: of a large shop a few for a quick answer, then all.",
        ),
    ] = "auto",
    moves_file: Annotated[
        Path | None,
        typer.Option("--moves", metavar="FILE", help="Write all who would move tier there, as CSV."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Replay the shop's own history under a program, and compare. Changes nothing."""
    from rewards.commands.moves import write_moves
    from rewards.core.collector import tune_for_batches
    from rewards.preview import replay
    from rewards.preview.moves import preview_moves
    from rewards.program.loading import cautions_of, load_file

    document = load_file(file)
    for caution in cautions_of(document, utc_now(), file.read_bytes(), str(file)):
        say(f"warning: {caution}")
    starts_at = None if since is None else parse_instant(since, document.zone)
    tune_for_batches()
    answers: list[PreviewReport] = []
    moves: MovesReport | None = None

    def hear(report: "PreviewReport") -> None:
        answers.append(report)
        _say_quick(report)

    try:
        with open_database() as database, shown_progress() as progress:
            now = utc_now()
            with database.engine.connect() as conn:
                moves = preview_moves(conn, document, now=now, progress=progress)
            if moves_file is not None:
                write_moves(moves, moves_file)
            with database.engine.connect() as conn:
                answers.append(
                    replay(
                        conn,
                        document,
                        as_of=now,
                        since=starts_at,
                        customers_sample=int(sample) if sample.isdecimal() else None,
                        on_sample=hear if sample == "auto" else None,
                        progress=progress,
                    )
                )
    except KeyboardInterrupt:
        say("Stopped. Nothing was changed.")
        if answers:
            _print(answers[-1], moves, as_json=as_json)
        raise typer.Exit(130) from None
    _print(answers[-1], moves, as_json=as_json)


def _say_quick(report: "PreviewReport") -> None:
    issued = report.totals.issued
    assert report.sample is not None
    error = report.sample.issued_standard_error.after
    say(
        f"By a sample of {report.customers:,} customers: about {issued.before:,} points issued before, "
        f"{issued.after:,} after (standard error {error:,}). Now all of them; Ctrl-C keeps the sample's answer."
    )


def _print(report: "PreviewReport", moves: "MovesReport | None", *, as_json: bool) -> None:
    from rewards.commands.moves import described

    if as_json:
        told = report.as_json()
        told["moves"] = None if moves is None else moves.as_json() | {"list": moves.listed(len(moves.moved))}
        print(json.dumps(told, ensure_ascii=False))
        return
    parts = [
        _heading(report),
        _columns("", "before", "after", "change", rows=_totals(report)),
        _columns("points issued by", "before", "after", "change", rows=_rules(report)),
        _columns("month", *_MONTH_COLUMNS, rows=_months(report)),
        _changed(report),
        _refused(report),
        "\n".join(report.notes),
        described(moves),
    ]
    print("\n\n".join(part for part in parts if part))


def _heading(report: "PreviewReport") -> str:
    activities = f"{report.activities:,} activities of {report.customers:,} customers"
    text = f"{activities} replayed in {report.seconds:.1f} s, as of {report.as_of:%Y-%m-%d %H:%M:%SZ}"
    if report.since is not None:
        text += f", the draft in force since {report.since.isoformat()}"
    sample = report.sample
    if sample is not None:
        error = sample.issued_standard_error
        text += (
            f"\nEstimates for all {sample.of:,} customers: the sample's figures times {sample.factor:.2f}. "
            f"Standard error of the points issued:\n{error.before:,} before, {error.after:,} after, "
            f"{sample.change_standard_error:,} of the change"
        )
    return text


def _totals(report: "PreviewReport") -> Iterable[Sequence[str]]:
    from rewards.core.money import format_minor

    totals = report.totals
    for name, change in (
        ("points issued", totals.issued),
        ("clawed back", totals.clawed_back),
        ("redeemed", totals.redeemed),
        ("reinstated", totals.reinstated),
        ("expired", totals.expired),
        ("adjusted", totals.adjusted),
        ("points owed to customers", report.liability_points),
    ):
        if any(change):
            yield name, f"{change.before:,}", f"{change.after:,}", _percent(change)
    for name, change in (
        ("worth of points issued", report.cost_minor),
        ("worth of points owed", report.liability_minor),
    ):
        before = f"{format_minor(change.before, report.currency_before)} {report.currency_before}"
        after = f"{format_minor(change.after, report.currency)} {report.currency}"
        yield name, before, after, _percent(change) if report.currency == report.currency_before else ""


def _rules(report: "PreviewReport") -> Iterable[Sequence[str]]:
    from rewards.preview.report import Change

    by_rule: dict[str, Change] = {}
    for each in report.issued:
        before, after = by_rule.get(each.rule_id, Change(0, 0))
        by_rule[each.rule_id] = Change(before + each.points.before, after + each.points.after)
    for rule_id, change in by_rule.items():
        yield rule_id, f"{change.before:,}", f"{change.after:,}", _percent(change)


_MONTH_COLUMNS = ("issued", "after", "clawed back", "after", "redeemed", "after", "expired", "after")


def _months(report: "PreviewReport") -> Iterable[Sequence[str]]:
    for month, flows in report.months.items():
        yield month, *(f"{figure:,}" for change in _told(flows) for figure in change)


def _told(flows: "Flows") -> "tuple[Change, ...]":
    return flows.issued, flows.clawed_back, flows.redeemed, flows.expired


def _changed(report: "PreviewReport") -> str:
    if not report.changed:
        return "No customer's balance changes."
    shown: list[Mover] = [*report.up[:MOST_PRINTED], *report.down[:MOST_PRINTED]]
    rows = [
        (each.customer_id, f"{each.points.before:,}", f"{each.points.after:,}", _difference(each.points))
        for each in shown
    ]
    told = f"{report.changed:,} customers' balances change; the most:"
    return f"{told}\n{_columns('customer', 'before', 'after', 'change', rows=rows)}"


def _refused(report: "PreviewReport") -> str:
    lines = [
        f"{each.count:,} × {each.what} refused: {each.code}, such as {each.name} of customer {each.customer_id}: "
        f"{each.detail}"
        for each in report.refused
    ]
    if report.redemptions_cut:
        lines.append(
            f"{report.redemptions_cut:,} redemptions are not covered in full: {report.points_cut:,} points short"
        )
    return "\n".join(lines)


def _columns(*header: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table with its numbers flush right; nothing where it has no rows."""
    cells = [tuple(name.upper() for name in header), *map(tuple, rows)]
    if len(cells) == 1:
        return ""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return table(
        [
            (row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
            for row in cells
        ]
    )


def _percent(change: "Change") -> str:
    if change.before == change.after:
        return "="
    if change.before <= 0:
        return _difference(change)
    return f"{(change.after - change.before) / change.before:+.1%}"


def _difference(change: "Change") -> str:
    return f"{change.after - change.before:+,}"
