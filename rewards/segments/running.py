"""What the job does: it sorts all customers into the segments of the program in force, then runs its campaigns."""

from dataclasses import dataclass
from datetime import datetime

from rewards.core.database import Database
from rewards.core.progress import Progress, unheard
from rewards.program.versions import load_history
from rewards.segments.campaigns import Ran, run_campaigns
from rewards.segments.membership import Counted, refresh_members


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    counted: Counted
    ran: Ran

    @property
    def told(self) -> str:
        """It in a line."""
        counted, ran = self.counted, self.ran
        return (
            f"{counted.customers} customers looked at, {counted.joined} came into a segment, {counted.left} left one; "
            f"{ran.drawn} drawn, {ran.offered} offered, {ran.ended} offers ended"
        )


def run_segments(database: Database, now: datetime, progress: Progress = unheard) -> Outcome:
    """Bring segments and campaigns up to ``now``.

    Raises:
        BusyError: the database does not answer; what is done is on record, run it again.
    """
    with database.engine.connect() as conn:
        document = load_history(conn).in_force(now).document
    counted = refresh_members(database, document.segments, document.zone, now, progress)
    return Outcome(counted, run_campaigns(database, document, now, progress))
