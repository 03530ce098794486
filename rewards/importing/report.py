"""What became of a file's rows."""

from collections import Counter
from dataclasses import dataclass, field, fields

from rewards.importing.orders import Rejection


@dataclass(slots=True)
class ImportReport:
    """What became of each row of a file.

    Attributes:
        rows: all rows but blank ones.
        awarded: orders that were recorded now, with ``points`` between them.
        returns_matched: returns that were taken from an order now; ``points_clawed_back`` with all returns.
        returns_partly_matched: those that the customer's orders covered only in part.
        returns_unmatched: those with no order to take them from; nothing came of them.
        already_there: rows that an earlier import, or a request, had brought.
        rejected: rows that were not imported, and why.
        notes: the returns that were not, or only partly, matched.
    """

    rows: int = 0
    awarded: int = 0
    points: int = 0
    returns_matched: int = 0
    returns_partly_matched: int = 0
    returns_unmatched: int = 0
    points_clawed_back: int = 0
    already_there: int = 0
    rejected: list[Rejection] = field(default_factory=list)
    notes: list[Rejection] = field(default_factory=list)

    @property
    def handled(self) -> int:
        """Rows that are in the ledger now, or that nothing can be done about."""
        return self.rows - len(self.rejected)

    @property
    def failed(self) -> bool:
        """Whether a row was rejected for no fault of its own: the engine could not execute its command."""
        return any(rejection.code == "internal-error" for rejection in self.rejected)

    def add(self, part: "ImportReport") -> None:
        """Count what became of further rows."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        self.rejected += part.rejected
        self.notes += part.notes

    def rejected_by_code(self) -> list[tuple[str, int]]:
        """Return how many rows were rejected for each reason, the most frequent first."""
        return Counter(rejection.code for rejection in self.rejected).most_common()


_COUNTS = tuple(each.name for each in fields(ImportReport) if each.name not in ("rejected", "notes"))
