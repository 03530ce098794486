"""The program's holdouts over all its versions: when each is on, and what of it may not change any more. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory
from rewards.program.holdout import Experiment, Holdout, experiment_of


class Span(NamedTuple):
    """A stretch of time, half-open; ``until`` is None where it goes on."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True, slots=True)
class HoldoutRun:
    """A holdout as its latest version has it, and when it was, is or will be on.

    Attributes:
        terms: the experiment.
        spans: when a version with it is in force and it has started and not ended, in order of time; empty where that
            is never.
        version: the latest version that has it.
    """

    terms: Experiment
    spans: tuple[Span, ...]
    version: int

    @property
    def exposes_until(self) -> datetime | None:
        """When the last span ends; None where it goes on."""
        return self.spans[-1].until if self.spans else self.terms.starts_at


def holdout_runs(programs: ProgramHistory) -> list[HoldoutRun]:
    """Return every holdout that was published, the one that starts first first."""
    latest: dict[str, tuple[Experiment, int]] = {}
    for each in programs.versions:
        if each.document.holdout is not None:
            latest[each.document.holdout.id] = (
                experiment_of(each.document.holdout, each.document.zone),
                each.version,
            )
    runs = [
        HoldoutRun(terms, tuple(_spans(programs, terms.experiment_id)), version)
        for terms, version in latest.values()
    ]
    return sorted(runs, key=lambda run: (run.terms.starts_at, run.terms.experiment_id))


def holdout_run(programs: ProgramHistory, experiment_id: str) -> HoldoutRun | None:
    """Return one of the holdouts that were published, None where there is none of that id."""
    return next((run for run in holdout_runs(programs) if run.terms.experiment_id == experiment_id), None)


def _spans(programs: ProgramHistory, experiment_id: str) -> Iterator[Span]:
    """Yield when a holdout is on, by the version in force at each time; what touches is one span."""
    in_order = programs.in_order
    open_span: Span | None = None
    for index, each in enumerate(in_order):
        holdout = each.document.holdout
        if holdout is None or holdout.id != experiment_id:
            continue
        terms = experiment_of(holdout, each.document.zone)
        # The first to take effect also governs what came before it.
        since = terms.starts_at if index == 0 else max(terms.starts_at, each.effective_from)
        ends = [in_order[index + 1].effective_from] if index + 1 < len(in_order) else []
        until = min([*ends, *([] if terms.ends_at is None else [terms.ends_at])], default=None)
        if until is not None and until <= since:
            continue
        if open_span is not None and open_span.until == since:
            open_span = Span(open_span.since, until)
        else:
            if open_span is not None:
                yield open_span
            open_span = Span(since, until)
    if open_span is not None:
        yield open_span


class Unchangeable(NamedTuple):
    """A field of a holdout that may not be as it is, and why."""

    field: str
    message: str


#: By what customers are drawn: another value would move some of them to the other arm.
_DRAWN_BY = ("salt", "share_pct", "starts_at", "eligible")
#: What is said beforehand, so that nobody can choose it by the result.
_SAID_BEFOREHAND = ("planned_end", "primary", "staggered")


def unchangeable(
    programs: ProgramHistory, document: ProgramDocument, now: datetime
) -> Iterator[Unchangeable]:
    """Yield what keeps a document from being published after those that were: lots that would be drawn anew.

    Args:
        programs: what was published.
        document: what is to be.
        now: the present.
    """
    holdout = document.holdout
    if holdout is None:
        return
    known = [each for each in programs.versions if each.document.holdout is not None]
    for each in known:
        other = each.document.holdout
        assert other is not None
        if other.id != holdout.id and other.salt == holdout.salt:
            yield Unchangeable(
                "salt",
                f"the holdout {other.id!r} of version {each.version} drew its lots by this salt, and the same "
                "customers would be held out again; draw another with `rewards program holdout`",
            )
            return
    for each in programs.versions:
        for campaign in each.document.campaigns:
            for name in ("id", "salt"):
                if getattr(campaign, name) == getattr(holdout, name):
                    yield Unchangeable(
                        name,
                        f"the campaign {campaign.id!r} of version {each.version} has this {name}; give another",
                    )
                    return
    before = next((each for each in reversed(known) if each.document.holdout.id == holdout.id), None)  # type: ignore[union-attr]
    if before is not None:
        yield from _changed(before.document, before.version, document, now)


def _changed(
    before: ProgramDocument, version: int, document: ProgramDocument, now: datetime
) -> Iterator[Unchangeable]:
    was, holdout = before.holdout, document.holdout
    assert was is not None
    assert holdout is not None
    terms = experiment_of(was, before.zone)
    if terms.ends_at is not None and terms.ends_at <= now:
        if experiment_of(holdout, document.zone) != terms:
            yield Unchangeable(
                "id",
                f"the holdout {was.id!r} is over since {was.ends_at}, and its customers take part now; begin another "
                "with an id and a salt of its own",
            )
        return
    fixed = _DRAWN_BY if now < terms.starts_at else (*_DRAWN_BY, *_SAID_BEFOREHAND)
    for name in fixed:
        if getattr(was, name) != getattr(holdout, name) or (
            name == "starts_at" and _moved(was, before, document)
        ):
            moved = name == "starts_at" and was.starts_at == holdout.starts_at
            yield Unchangeable(name, _other_zone(was, before) if moved else _why(name, was, version))


def _moved(was: Holdout, before: ProgramDocument, document: ProgramDocument) -> bool:
    """Tell whether another time zone has made another instant of the same moment."""
    assert document.holdout is not None
    same = experiment_of(was, before.zone).starts_at
    return experiment_of(document.holdout, document.zone).starts_at != same


def _other_zone(was: Holdout, before: ProgramDocument) -> str:
    return (
        f"in another time zone {was.starts_at} is another instant than in {before.timezone}, and customers would move "
        "from one arm to the other; keep the program's time zone while the holdout is on"
    )


def _why(name: str, was: Holdout, version: int) -> str:
    said = f"version {version} published the holdout {was.id!r} with {name}: {getattr(was, name)}"
    if name in _DRAWN_BY:
        return (
            f"{said}; another would move customers from one arm to the other. Leave it as it was, "
            "or begin another holdout with an id and a salt of its own"
        )
    return f"{said}, and it has started: how it is judged stays as it was said before"
