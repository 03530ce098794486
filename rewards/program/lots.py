"""What keeps a document from being published after those that were: lots that it would draw anew. Pure."""

from collections.abc import Iterator
from datetime import datetime

from rewards.program.document import ProgramDocument
from rewards.program.experiments import unchangeable
from rewards.program.history import ProgramHistory
from rewards.program.loading import ProgramError, path_text

#: By what a campaign's customers are drawn, and from whom.
_DRAWN_BY = ("salt", "holdout_pct", "segment")


def drawn_anew(programs: ProgramHistory, document: ProgramDocument, now: datetime) -> list[ProgramError]:
    """Return what in a document would move customers from one arm to the other, of the holdout or of a campaign.

    Args:
        programs: what was published.
        document: what is to be.
        now: the present.
    """
    holdout = [
        ProgramError(f"holdout.{each.field}", None, None, each.message)
        for each in unchangeable(programs, document, now)
    ]
    return [*holdout, *_of_campaigns(programs, document)]


def _of_campaigns(programs: ProgramHistory, document: ProgramDocument) -> Iterator[ProgramError]:
    for index, campaign in enumerate(document.campaigns):
        for version in reversed(programs.versions):
            for was in version.document.campaigns:
                if was.id != campaign.id and was.salt == campaign.salt:
                    message = (
                        f"campaign {was.id!r} of version {version.version} drew its lots by this salt, and the same "
                        "customers would be held out again; draw another at random"
                    )
                    yield ProgramError(path_text(("campaigns", index, "salt")), None, None, message)
            before = next((each for each in version.document.campaigns if each.id == campaign.id), None)
            if before is None:
                continue
            for name in _DRAWN_BY:
                if getattr(before, name) != getattr(campaign, name):
                    message = (
                        f"version {version.version} published campaign {campaign.id!r} with {name}: "
                        f"{getattr(before, name)}; leave it as it was, or begin another campaign with an id and a "
                        "salt of its own"
                    )
                    yield ProgramError(path_text(("campaigns", index, name)), None, None, message)
            break
