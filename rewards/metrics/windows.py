"""Which days a metric looks at, and which customers bought in them: what the metrics of purchases share.

A window is half-open, ``[start, end)``, in day numbers of the shop's calendar (days since 1970-01-01), and never
reaches beyond the source's ``until``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from rewards.metrics.orders import Orders, day_number, day_of
from rewards.metrics.result import BadParameter, Column, Parameter, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rewards.metrics.source import Source

Kind = Literal["days", "month", "quarter", "year", "dates"]

#: How many calendar months a period has.
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
#: Nobody is called inactive sooner than this.
LEAST_ACTIVE_DAYS = 30
#: No window begins before this day: beyond it calendars end.
EARLIEST = date(1900, 1, 1)

UNIT = Parameter(
    "unit",
    "choice",
    "purchase-days",
    "what counts as a purchase: a day with orders (a basket that was split is no repeat), or each order",
    ("purchase-days", "orders"),
)
FROM = Parameter("from", "date", None, "the window's first day")
TO = Parameter("to", "date", None, "the day after the window's last day")


def window_parameters(days: int | None) -> tuple[Parameter, ...]:
    """Return the parameters that say which window: a number of days, a calendar period, or dates.

    Arguments:
        days: how many where none are asked for; None is as many as a customer counts as active.
    """
    length = "how long the window is, where it is in days" + (
        "" if days else "; else as long as a customer counts as active"
    )
    return (
        Parameter(
            "window",
            "choice",
            "days",
            "a number of days, or the last whole calendar month, quarter or year",
            ("days", "month", "quarter", "year"),
        ),
        Parameter("days", "days", days, length, least=1, most=36_500),
        FROM,
        TO,
    )


@dataclass(frozen=True, slots=True)
class Window:
    """Days from ``start`` to before ``end``, and how they were asked for."""

    start: int
    end: int
    kind: Kind = "days"

    def __str__(self) -> str:
        """Return it for people, with the last day that is in."""
        return f"{day_of(self.start)} to {day_of(self.end - 1)}"

    @property
    def days(self) -> int:
        """How long it is."""
        return self.end - self.start

    def parameters(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"from": day_of(self.start).isoformat(), "to": day_of(self.end).isoformat()}

    def earlier(self, steps: int) -> "Window":
        """Return the same calendar period ``steps`` periods before; others are moved back by months, keeping length."""
        if self.kind in _MONTHS:
            months = _MONTHS[self.kind]
            end = month_of(self.end) - steps * months
            return Window(month_start(end - months), month_start(end), self.kind)
        month, day = month_of(self.end) - steps, day_of(self.end).day
        end = min(month_start(month) + day - 1, month_start(month + 1) - 1)
        return Window(end - self.days, end, self.kind)


def month_of(day: int) -> int:
    """Return the month of a day number, as months since January 1970."""
    found = day_of(day)
    return (found.year - 1970) * 12 + found.month - 1


def month_start(month: int) -> int:
    """Return the first day number of a month."""
    return day_number(date(1970 + month // 12, month % 12 + 1, 1))


def month_text(month: int) -> str:
    """Return a month as 2026-11."""
    return f"{1970 + month // 12}-{month % 12 + 1:02}"


def months_of(days: "NDArray[np.int32]") -> "NDArray[np.int32]":
    """Return the month of each day number; it is looked up, which is much quicker than a calendar for each."""
    import numpy as np

    if not len(days):
        return np.zeros(0, dtype=np.int32)
    low, high = int(days.min()), int(days.max())
    calendar = np.arange(low, high + 1).astype("datetime64[D]").astype("datetime64[M]").astype(np.int32)
    months: NDArray[np.int32] = calendar[days - low]
    return months


def window_of(
    source: "Source", window: Kind, days: int, span: Mapping[str, date | None], latest: int | None = None
) -> Window:
    """Return the window that was asked for, ending at ``until`` at the latest.

    ``from`` and ``to`` win over ``window`` and ``days``. With ``to`` alone, the window ends there; a calendar period is
    the last one that is over by then.

    Arguments:
        latest: where it ends if not told otherwise, if not at ``until``.

    Raises:
        BadParameter: it would hold no day, or begin before 1900.
    """
    first, last = span.get("from"), span.get("to")
    end = source.until if latest is None else latest
    if last is not None:
        end = min(day_number(last), source.until)
    if end <= day_number(EARLIEST):
        raise BadParameter(f"windows end after {EARLIEST}")
    if first is not None:
        found = Window(day_number(first), end, "dates")
    elif window in _MONTHS:
        months = _MONTHS[window]
        month = month_of(end) // months * months
        found = Window(month_start(month - months), month_start(month), window)
    else:
        found = Window(end - days, end, "dates" if last is not None else "days")
    if found.days < 1:
        raise BadParameter(f"from must be before to, and not after {source.as_of}")
    if found.start < day_number(EARLIEST):
        raise BadParameter(f"windows begin on {EARLIEST} or later; this one would begin before")
    return found


def earlier_windows(source: "Source", window: Window, before: int = 0, most: int = 12) -> list[Window]:
    """Return this window and its like before it, oldest first, as far as orders are known.

    Arguments:
        before: how many days before its start a window looks at too.
        most: how many there are at most.
    """
    known = known_since(source)
    if known is None:
        return []
    each = [window.earlier(steps) for steps in range(1, most)]
    return [*(one for one in reversed(each) if one.start - before >= known), window]


def known_since(source: "Source") -> int | None:
    """Return the first day from which the shop's purchases are complete; None where it has none."""
    if source.history_start is not None:
        return day_number(source.history_start)
    return int(source.orders.day.min()) if len(source.orders) else None


def purchases(source: "Source", unit: str) -> Orders:
    """Return the purchases in the unit that was asked for: purchase days or orders."""
    return source.orders.days if unit == "purchase-days" else source.orders


def rows_in(orders: Orders, start: int, end: int) -> "NDArray[np.int64]":
    """Return the positions of the purchases in ``[start, end)``."""
    import numpy as np

    return np.flatnonzero((orders.day >= start) & (orders.day < end))


def counts_in(orders: Orders, start: int, end: int) -> "NDArray[np.int64]":
    """Return how often each customer (in the order of ``orders.units``) bought in ``[start, end)``."""
    import numpy as np

    return np.bincount(orders.owner[rows_in(orders, start, end)], minlength=len(orders.starts))


def gaps(days: Orders) -> "NDArray[np.int32]":
    """Return the days between each purchase day and the customer's next, in the order of the purchases."""
    import numpy as np

    found: NDArray[np.int32] = np.diff(days.day)[np.diff(days.unit) == 0]
    return found


def usual_gap_days(source: "Source") -> int:
    """Return after how many days most customers who come back have come back: when one may be called inactive.

    It is the 90th percentile of the gaps between purchase days, rounded up, and at least 30 days. Gaps that are still
    open are not in it, so that in a young shop it is too short.
    """
    import numpy as np

    found = gaps(source.orders.days)
    if not len(found):
        return LEAST_ACTIVE_DAYS
    return max(LEAST_ACTIVE_DAYS, int(np.ceil(np.quantile(found, 0.9))))


def notes_of(source: "Source", start: int | None = None, to: date | None = None) -> list[str]:
    """Return what must be known of the data: what was left out, and where a window from ``start`` is cut."""
    notes = []
    known = known_since(source)
    if start is not None and known is not None and start < known:
        notes.append(
            f"Orders are known from {day_of(known)} on; the days asked for begin {known - start} days before."
        )
    if to is not None and day_number(to) > source.until:
        notes.append(f"The days asked for are not over; what is counted ends with {source.as_of}.")
    return [*notes, *left_out_notes(source)]


def left_out_notes(source: "Source") -> list[str]:
    """Return which orders are not purchases, in a sentence, and how many purchases were refunded whole."""
    left = source.orders.left_out
    counts = {
        "that cost nothing": left.zero_amount,
        "paid with points alone": left.points_only,
        f"not in {source.currency}": left.other_currency,
        "of test and staff accounts": left.test_or_staff,
    }
    told = [f"{count:,} {what}" for what, count in counts.items() if count]
    notes = [f"Orders left out: {', '.join(told)}."] if told else []
    if left.refunded_whole:
        notes.append(f"{left.refunded_whole:,} purchases that were refunded whole are counted as purchases.")
    return notes


def first_purchase_notes(source: "Source", first_day: "NDArray[np.int32]") -> list[str]:
    """Return the warning that some first purchases are only the first that were seen, where history is cut off."""
    if source.history_start is None:
        return []
    known, usual = day_number(source.history_start), usual_gap_days(source)
    doubtful = int(((first_day >= known) & (first_day < known + usual)).sum())
    if not doubtful:
        return []
    note = (
        f"Orders are complete from {source.history_start} on. {doubtful:,} of these customers were first seen in the "
        f"{usual} days after, and may have bought before: first seen is not first bought."
    )
    return [note]


def no_purchases(source: "Source") -> str:
    """Return the reason of a figure that has no purchases to stand on."""
    return f"There are no purchases up to {source.as_of}."


def share(count: float, of: float) -> float | None:
    """Return a quotient, or None where there is nothing to divide by."""
    return count / of if of else None


def finite(values: "NDArray[Any]") -> list[float | None]:
    """Return figures as cells of a table: those that are not numbers as None."""
    return [value if value == value and abs(value) != float("inf") else None for value in values.tolist()]  # noqa: PLR0124


def dates(days: "NDArray[Any]") -> list[str]:
    """Return day numbers as cells of a table: 2026-11-21."""
    import numpy as np

    texts: list[str] = np.datetime_as_string(days.astype("datetime64[D]")).tolist()
    return texts


def customer_rows(
    source: "Source", title: str, units: "NDArray[np.int32]", columns: Sequence[tuple[Column, Sequence[Any]]]
) -> Table:
    """Return the customers behind a figure: an id and these columns, each as long as ``units``."""
    names = source.store.names(units.tolist())
    return Table(
        "customers",
        title,
        (Column("customer_id", "Customer", "text"), *(column for column, _ in columns)),
        list(zip(names, *(cells for _, cells in columns), strict=True)),
    )
