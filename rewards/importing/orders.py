"""Orders as a CSV file has them: each row becomes a command, or a reason why it cannot.

Reading keeps no more of a row than its command needs, as tuples: a million orders fit into memory, which is
what bringing them into the order of time takes.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from rewards.core.errors import SetupError
from rewards.core.money import known_currency, parse_major
from rewards.decide.commands import Award, Record, Return, Reverse
from rewards.importing.csvfile import Broken, CsvFile
from rewards.program.history import ProgramHistory, ProgramVersion

REQUIRED = ("order_id", "customer_id", "ordered_at", "amount")
OPTIONAL = ("currency", "is_return", "items", "original_order_id")
#: Columns of an errors file: such a file, once corrected, can be imported as it is.
REPORTED = ("error_line", "error_code", "error_reason")

MOST_ATTRIBUTES = 50
LONGEST_ATTRIBUTE_NAME = 64

_IS_RETURN = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}
_MOST_SHARED_TEXTS = 200_000


class Order(NamedTuple):
    """A row: an order, or money that went back. ``amount_minor`` is never negative."""

    line: int
    order_id: str
    customer_id: str
    ordered_at: datetime
    amount_minor: int
    currency: str
    is_return: bool
    original_order_id: str
    items: str
    attributes: tuple[str, ...]


class Rejection(NamedTuple):
    """A row that was not imported."""

    line: int
    code: str
    reason: str


class _Unfit(Exception):
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class OrderReader:
    """Reads orders and returns from a CSV file.

    Args:
        file: the file.
        history: gives the zone of times without an offset, and the currency where none is named.

    Attributes:
        attribute_names: the columns that become attributes of each order.

    Raises:
        SetupError: the header lacks a required column, or has more further columns than an order can keep.
    """

    def __init__(self, file: CsvFile, history: ProgramHistory) -> None:
        self._file = file
        self._history = history
        known = {*REQUIRED, *OPTIONAL, *REPORTED}
        columns = {
            name.lower() if name.lower() in known else name: position
            for position, name in enumerate(file.header)
        }
        if missing := [name for name in REQUIRED if name not in columns]:
            raise SetupError(
                f"{file.path} has no column {', '.join(missing)};"
                f" its header has {', '.join(file.header)[:200]}"
            )
        self._columns = columns
        self.attribute_names = tuple(
            name for name in columns if name not in REQUIRED and name not in OPTIONAL and name not in REPORTED
        )
        if len(self.attribute_names) > MOST_ATTRIBUTES:
            raise SetupError(f"{file.path} has more than {MOST_ATTRIBUTES} columns of its own; remove some")
        if long := next((name for name in self.attribute_names if len(name) > LONGEST_ATTRIBUTE_NAME), None):
            limit = LONGEST_ATTRIBUTE_NAME
            raise SetupError(f"{file.path}: the column name {long[:80]!r} is longer than {limit} characters")

    def read(self, on_bytes_read: Callable[[int], None] | None = None) -> tuple[list[Order], list[Rejection]]:
        """Return all orders in the order of time, and the unfit rows.

        Of one instant, returns come after orders: a return is taken from orders up to its own instant, and
        must find the same ones when the file is imported again.

        Raises:
            SetupError: the file cannot be read or is not UTF-8.
        """
        orders: list[Order] = []
        rejected: list[Rejection] = []
        line_of: dict[str, int] = {}
        is_sorted, latest = True, (datetime.min.replace(tzinfo=UTC), False)
        to_order = self._row_reader()
        for line, record in self._file.records(on_bytes_read):
            if isinstance(record, Broken):
                rejected.append(Rejection(line, "unreadable-row", record.reason))
                continue
            try:
                order = to_order(line, record)
            except _Unfit as unfit:
                rejected.append(Rejection(line, unfit.code, unfit.reason))
                continue
            first = line_of.setdefault(order.order_id, line)
            if first != line:
                reason = f"the order_id {order.order_id} is on line {first} already; give each row its own"
                rejected.append(Rejection(line, "duplicate-order", reason))
                continue
            earlier, latest = latest, (order.ordered_at, order.is_return)
            is_sorted = is_sorted and earlier <= latest
            orders.append(order)
        if not is_sorted:
            orders.sort(key=attrgetter("ordered_at", "is_return"))
        return orders, rejected

    def command(self, order: Order, *, award: bool = True) -> Award | Record | Reverse | Return:
        """Return the command of an order of this file; see :func:`command_of`."""
        return command_of(order, self.attribute_names, award=award)

    def _row_reader(self) -> Callable[[int, Sequence[str]], Order]:
        """Return the function that makes a record an order, or raises :class:`_Unfit`."""
        columns = self._columns
        at_id, at_customer, at_time, at_amount = (columns[name] for name in REQUIRED)
        at_currency, at_return, at_items, at_original = (columns.get(name) for name in OPTIONAL)
        at_attributes = [columns[name] for name in self.attribute_names]
        share = _sharing()
        in_force = _in_force_by_instant(self._history)
        instant = _remembering(lambda text: _instant(text, in_force))

        def read(line: int, record: Sequence[str]) -> Order:
            order_id = _id(record[at_id], "order_id")
            customer_id = share(_id(record[at_customer], "customer_id"))
            ordered_at = instant(record[at_time].strip())
            named = record[at_currency].strip() if at_currency is not None else ""
            currency = share(named) if named else in_force(ordered_at).document.currency
            amount_minor = _amount(record[at_amount], currency)
            is_return = amount_minor < 0
            if at_return is not None:
                is_return = _flag(record[at_return]) or is_return
            if is_return and not amount_minor:
                raise _Unfit("invalid-amount", "a return of 0 gives nothing back")
            if is_return and named and currency != (programs := in_force(ordered_at).document.currency):
                reason = f"the return is in {currency} and the program in {programs}"
                raise _Unfit("currency-mismatch", reason)
            original = record[at_original].strip() if at_original is not None else ""
            return Order(
                line,
                order_id,
                customer_id,
                ordered_at,
                abs(amount_minor),
                currency,
                is_return,
                _id(original, "original_order_id") if original else "",
                record[at_items].strip() if at_items is not None and not is_return else "",
                # What goes back has no attributes: they say how an order earns.
                () if is_return else tuple([share(_attribute(record[at])) for at in at_attributes]),
            )

        return read


def _sharing() -> Callable[[str], str]:
    """Return a function that gives equal texts as one object: customers and countries repeat."""
    known: dict[str, str] = {}

    def share(text: str) -> str:
        if len(known) >= _MOST_SHARED_TEXTS:
            known.clear()
        return known.setdefault(text, text)

    return share


def _remembering(read: Callable[[str], datetime]) -> Callable[[str], datetime]:
    """Return a function that reads equal texts once: many exports have days, or minutes, and no seconds."""
    known: dict[str, datetime] = {}

    def remembered(text: str) -> datetime:
        instant = known.get(text)
        if instant is None:
            if len(known) >= _MOST_SHARED_TEXTS:
                known.clear()
            instant = known[text] = read(text)
        return instant

    return remembered


def _in_force_by_instant(history: ProgramHistory) -> Callable[[datetime], ProgramVersion]:
    if len(history) == 1:
        only = history.latest
        return lambda _: only
    return history.in_force


def command_of(
    order: Order, attribute_names: Sequence[str], *, award: bool = True
) -> Award | Record | Reverse | Return:
    """Return the command of an order; ``award=False`` records a purchase and gives it nothing.

    Raises:
        ValueError: the order cannot be one; the message says why.
    """
    try:
        if order.is_return:
            return _refund(order)
        kind = Award if award else Record
        return kind.model_validate(
            {
                "customer_id": order.customer_id,
                "occurred_at": order.ordered_at,
                "activity": _purchase(order, attribute_names),
            }
        )
    except ValidationError as error:
        raise ValueError(_in_words(error)) from None


def _purchase(order: Order, attribute_names: Sequence[str]) -> dict[str, Any]:
    purchase: dict[str, Any] = {
        "type": "purchase",
        "order_id": order.order_id,
        "total_minor": order.amount_minor,
        "currency": order.currency,
    }
    if order.items:
        try:
            purchase["items"] = from_json(order.items, allow_inf_nan=False)
        except ValueError as error:
            raise ValueError(f"items is not JSON: {error}") from None
    if order.attributes:
        named = zip(attribute_names, order.attributes, strict=True)
        purchase["attributes"] = {name: value for name, value in named if value}
    return purchase


def _refund(order: Order) -> Reverse | Return:
    refund = {
        "customer_id": order.customer_id,
        "refund_id": order.order_id,
        "occurred_at": order.ordered_at,
        "amount_minor": order.amount_minor,
    }
    if order.original_order_id:
        return Reverse.model_validate({**refund, "order_id": order.original_order_id})
    return Return.model_validate(refund)


def _id(text: str, column: str) -> str:
    text = text.strip()
    if not text:
        raise _Unfit(f"invalid-{column.replace('_', '-')}", f"{column} is empty")
    # isprintable is quick, and refuses more than control characters: only then is it worth looking closer.
    if len(text) > 128 or (
        not text.isprintable() and any(ord(mark) < 32 or ord(mark) == 127 for mark in text)
    ):
        reason = f"{column} must have at most 128 characters, none of them a control character"
        raise _Unfit(f"invalid-{column.replace('_', '-')}", reason)
    return text


def _instant(text: str, in_force: Callable[[datetime], ProgramVersion]) -> datetime:
    """Read an instant; without an offset it is on the clock of the program in force.

    A time that a change of clocks brings twice is the first of the two.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            zone = in_force(instant.replace(tzinfo=UTC)).document.zone
            instant = instant.replace(tzinfo=zone)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        reason = f"ordered_at is {text[:40]!r}; write a time like 2026-11-01T12:00:00+01:00"
        raise _Unfit("invalid-time", reason if text else "ordered_at is empty") from None


@lru_cache(maxsize=1024)
def _known_currency(code: str) -> bool:
    return known_currency(code)


def _amount(text: str, currency: str) -> int:
    if not _known_currency(currency):
        raise _Unfit("invalid-currency", f"currency {currency[:40]!r} is not an ISO 4217 code such as GBP")
    try:
        return parse_major(text, currency)
    except ValueError as error:
        raise _Unfit("invalid-amount", f"amount {error}" if text.strip() else "amount is empty") from None


def _flag(text: str) -> bool:
    try:
        return _IS_RETURN[text.strip().lower()]
    except KeyError:
        reason = f"is_return is {text[:40]!r}; write 1 for a return, else 0"
        raise _Unfit("invalid-is-return", reason) from None


def _attribute(text: str) -> str:
    if len(text) > 255 or "\x00" in text:
        raise _Unfit("invalid-attribute", "a further column has more than 255 characters, or a NUL")
    return text


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if part != "purchase")
    return f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]
