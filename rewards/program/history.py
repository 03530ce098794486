"""Published versions of the program, and which of them is in force when. Pure: no database."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rewards.program.document import ProgramDocument


@dataclass(frozen=True, slots=True)
class ProgramVersion:
    """A document as it was published. Instants are UTC."""

    version: int
    document: ProgramDocument
    effective_from: datetime
    published_at: datetime
    published_by: str
    note: str | None = None


class ProgramHistory:
    """All published versions. At least one is needed to ask which is in force."""

    __slots__ = ("_by_version", "_effective", "_in_order", "budgets", "has_referrals", "limited")

    def __init__(self, versions: Iterable[ProgramVersion]) -> None:
        self._by_version = {version.version: version for version in sorted(versions, key=lambda v: v.version)}
        # Sorting is stable: of two versions effective at the same instant the higher comes last, and wins.
        self._in_order = sorted(self._by_version.values(), key=lambda v: v.effective_from)
        self._effective = [version.effective_from for version in self._in_order]
        #: Rules that have a budget in any version; what is taken back may free any of them.
        self.budgets = frozenset(
            rule.id for version in self._in_order for rule in version.document.earn if rule.budget is not None
        )
        #: Types of activity for which any version limits what is given.
        self.limited = frozenset(
            rule.activity
            for version in self._in_order
            for rule in version.document.earn
            if version.document.caps or rule.caps or rule.occurrences or rule.budget
        )
        #: Whether any version has referrals.
        self.has_referrals = any(version.document.referrals is not None for version in self._in_order)

    def __len__(self) -> int:
        return len(self._by_version)

    @property
    def versions(self) -> list[ProgramVersion]:
        """All versions by number, the first published first."""
        return list(self._by_version.values())

    @property
    def in_order(self) -> list[ProgramVersion]:
        """All versions in the order in which they take effect; of two at the same instant the last is in force."""
        return self._in_order

    @property
    def latest(self) -> ProgramVersion:
        """The version published last, whether or not it is in force yet.

        Raises:
            LookupError: nothing was published.
        """
        if not self._by_version:
            raise LookupError("no program was published yet; run `rewards migrate`, or publish one")
        return self._by_version[max(self._by_version)]

    def in_force(self, at: datetime) -> ProgramVersion:
        """Return the version that governs what happens at ``at``.

        It is the one that took effect last by then (of several at the same instant, the highest), or the
        earliest to take effect where none had.

        Raises:
            LookupError: nothing was published.
        """
        if not self._in_order:
            return self.latest
        return self._in_order[max(0, bisect_right(self._effective, at) - 1)]

    def by_version(self, version: int) -> ProgramVersion:
        """Return a version by its number.

        Raises:
            LookupError: there is no such version.
        """
        try:
            return self._by_version[version]
        except KeyError:
            raise LookupError(f"there is no program version {version}") from None
