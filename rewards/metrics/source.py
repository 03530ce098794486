"""What metrics are worked out from: a shop's facts as of one day, read when they are first asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from rewards.metrics.orders import Orders, day_number

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rewards.program.history import ProgramHistory


class Store(Protocol):
    """Where purchases and names come from: the roll-ups in the database, or arrays that a test has made."""

    def orders(self) -> Orders:
        """Return all purchases."""

    def names(self, units: Sequence[int]) -> list[str]:
        """Return the customer id of each of these numbers."""


@dataclass
class Source:
    """A shop's facts as of the end of a day.

    Attributes:
        store: the purchases.
        as_of: the last day that counts, on the shop's calendar; figures are as of its end.
        zone: the shop's time zone.
        currency: the program's, ISO 4217.
        history_start: the first day of which the shop's orders are complete; None is since the first order.
        conn: for what is read from the ledger itself; None where there is no database (then such metrics say so).
        programs: the program's versions; None without a database.
        now: the instant of asking, for what is told "as of now".
    """

    store: Store
    as_of: date
    zone: ZoneInfo
    currency: str
    history_start: date | None = None
    conn: "Connection | None" = None
    programs: "ProgramHistory | None" = None
    now: datetime | None = None

    @property
    def until(self) -> int:
        """The day number after ``as_of``: windows are half-open, ``[…, until)``."""
        return day_number(self.as_of) + 1

    @cached_property
    def orders(self) -> Orders:
        """The purchases up to and with ``as_of``."""
        return self.store.orders().before(self.until)

    @property
    def ends_at(self) -> datetime:
        """The instant at which ``as_of`` ends on the shop's clock."""
        from datetime import timedelta

        return datetime.combine(self.as_of + timedelta(days=1), datetime.min.time(), self.zone)
