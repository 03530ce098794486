"""Publishing a program as it was previewed: only while it would move the same customers to the same tiers."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from rewards.applying.kept import count_otherwise, keep_moves, moves_with
from rewards.applying.progress import expect_application
from rewards.core.database import Database
from rewards.core.errors import PreviewOutdated
from rewards.core.progress import Progress, unheard
from rewards.preview.moves import MovesReport, preview_moves
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramVersion
from rewards.program.versions import load_history, publish
from tiers.ladder import timeline_of


@dataclass(frozen=True, slots=True)
class Expected:
    """What a program is published with: who moves, as worked out just before, and the kept preview that said so."""

    report: MovesReport
    preview_id: str | None


def as_expected(
    database: Database,
    document: ProgramDocument,
    *,
    digest: str,
    now: datetime,
    effective_from: datetime | None = None,
    progress: Progress = unheard,
) -> Expected:
    """Work out once more who would move, and make sure that it is what was previewed.

    Where it is to be in force later, what was previewed for now will do as well; the application is then compared
    with who would move at that time.

    Raises:
        PreviewOutdated: it is another by now; the message says how many customers would move otherwise.
    """
    with database.engine.connect() as conn:
        report = preview_moves(conn, document, now=now, effective_from=effective_from, progress=progress)
    if report is None:
        raise PreviewOutdated("There is no ladder by which anybody could move. Preview it once more.")
    at_once: MovesReport | None = report
    if report.digest != digest and report.effective_from > now:
        with database.engine.connect() as conn:
            at_once = preview_moves(conn, document, now=now, progress=progress)
    with database.engine.connect() as conn:
        kept = moves_with(conn, digest)
        if at_once is not None and at_once.digest == digest:
            is_kept = kept is not None and report.digest == digest
            return Expected(report, kept.preview_id if kept is not None and is_kept else None)
        raise PreviewOutdated(
            _outdated(conn, report, None if kept is None else kept.preview_id, digest),
            expected_moves=digest,
            moves=report.digest,
        )


def _outdated(conn: Connection, report: MovesReport, preview_id: str | None, digest: str) -> str:
    now = f"{len(report.moved):,} would move now"
    if preview_id is not None:
        otherwise = count_otherwise(conn, preview_id, report.moved)
        would = "customer would" if otherwise == 1 else "customers would"
        return f"{otherwise:,} {would} now move otherwise than was previewed; {now}. Preview it once more."
    was = digest.partition("-")[0]
    before = f"{int(was):,} customers were previewed to move, " if was.isdecimal() and len(was) < 12 else ""
    return f"{before}{now}, and not the same ones to the same tiers. Preview it once more."


def publish_expected(
    conn: Connection,
    document: ProgramDocument,
    expected: Expected,
    *,
    actor: str,
    note: str | None = None,
) -> ProgramVersion:
    """Publish what :func:`as_expected` has found to be as previewed, as of then; in the caller's transaction.

    Raises:
        NotNewest: another version was published since then.
    """
    report = expected.report
    version = publish(
        conn,
        document,
        effective_from=report.effective_from,
        now=report.as_of,
        actor=actor,
        note=note,
        after=report.version - 1,
    )
    if brings_ladder(conn, version):
        preview_id = expected.preview_id or keep_moves(conn, report)
        expect_application(conn, version.version, version.effective_from, preview_id)
    return version


def brings_ladder(conn: Connection, version: ProgramVersion) -> bool:
    """Tell whether a version brings another ladder than what was in force before, so that customers are brought up."""
    timeline = timeline_of(load_history(conn))
    stretch = timeline.stretches[timeline.at(version.effective_from)]
    return (
        timeline.has_ladder and stretch.since == version.effective_from and stretch.version == version.version
    )
