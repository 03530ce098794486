"""Reads a CSV file record by record and keeps going past the ones that are broken.

A quote that is never closed would swallow the rest of a file. Here it costs its own line only: where a record
cannot be read, or runs over several lines without having the header's columns, its first line is reported and
reading goes on with the second.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from rewards.core.errors import SetupError

_BYTES_BETWEEN_REPORTS = 1 << 20


class Broken(NamedTuple):
    """Why a record could not be read."""

    reason: str


class CsvFile:
    """A UTF-8 CSV file with a header, with or without byte order mark, with any line ends.

    Attributes:
        path: the file.
        header: its columns' names, without the white space around them.
        size: its size in bytes.

    Raises:
        SetupError: there is no such file, it cannot be read, it is not UTF-8, or it has no usable header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise SetupError(f"There is no file {path}")
        if not path.is_file():
            raise SetupError(f"{path} is not a file")
        if path.suffix.lower() == ".parquet":
            raise SetupError(f"{path} is Parquet, which is not read yet; save it as CSV")
        self.size = path.stat().st_size
        _, header = next(self._records(None), (0, []))
        if isinstance(header, Broken):
            raise SetupError(f"{path}, line 1: {header.reason}")
        self.header = self._checked([name.strip() for name in header])

    def _checked(self, header: list[str]) -> list[str]:
        if not any(header):
            raise SetupError(f"{self.path} is empty; its first line must name the columns")
        if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
            raise SetupError(
                f"{self.path} is separated by {other!r}; save it with commas between the columns"
            )
        for position, name in enumerate(header):
            if not name:
                raise SetupError(f"{self.path}: column {position + 1} has no name; name it or remove it")
            if name in header[:position]:
                raise SetupError(f"{self.path} has two columns called {name!r}")
        return header

    def records(
        self, on_bytes_read: Callable[[int], None] | None = None
    ) -> Iterator[tuple[int, Sequence[str] | Broken]]:
        """Yield each record below the header, with the number of the line that it begins on.

        Blank records are left out. ``on_bytes_read`` is told now and then how far reading is.

        Raises:
            SetupError: the file cannot be read or is not UTF-8.
        """
        records = self._records(len(self.header), on_bytes_read)
        next(records)
        for line, record in records:
            if isinstance(record, Broken) or any(record):
                yield line, record

    def _records(
        self, width: int | None, on_bytes_read: Callable[[int], None] | None = None
    ) -> Iterator[tuple[int, Sequence[str] | Broken]]:
        try:
            with self.path.open("rb") as raw, TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
                reports_at = _BYTES_BETWEEN_REPORTS
                for found in _split(file, width):
                    yield found
                    if on_bytes_read is not None and found[0] % 1024 == 0 and raw.tell() >= reports_at:
                        on_bytes_read(raw.tell())
                        reports_at = raw.tell() + _BYTES_BETWEEN_REPORTS
        except OSError as error:
            raise SetupError(f"{self.path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SetupError(f"{self.path} {_encoding_problem(self.path)}") from None


class _Lines:
    """The lines of a file, numbered, of which the latest can be given back."""

    def __init__(self, file: Iterable[str]) -> None:
        self._file = iter(file)
        self._given_back: deque[str] = deque()
        self._taken: list[str] = []
        self.first = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._file)
        self._taken.append(line)
        return line

    @property
    def taken(self) -> int:
        """How many lines the present record took."""
        return len(self._taken)

    def next_record(self) -> None:
        """Begin a record at the next line."""
        self.first += len(self._taken)
        self._taken.clear()

    def give_back_all_but_first(self) -> None:
        """Let the present record be its first line only."""
        self._given_back.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]


def _split(file: Iterable[str], width: int | None) -> Iterator[tuple[int, Sequence[str] | Broken]]:
    """Yield (line number, fields); ``width`` is how many fields a record must have, once that is known."""
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    while True:
        lines.next_record()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back_all_but_first()
            yield lines.first, Broken(_in_words(error))
            continue
        if width is None:
            width = len(fields)
        elif len(fields) != width and any(fields):
            spilled = lines.taken > 1
            lines.give_back_all_but_first()
            reason = "a quote is opened and not closed" if spilled else _misfit(len(fields), width)
            yield lines.first, Broken(reason)
            continue
        yield lines.first, fields


def _misfit(found: int, width: int) -> str:
    columns = "1 column" if found == 1 else f"{found} columns"
    return f"it has {columns} and the header has {width}"


def _in_words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "larger than field limit" in text:
        return "a quote is opened and not closed"
    if "expected after" in text:
        return 'a closing quote is followed by text; write a quote inside quotes as ""'
    return f"it is not CSV: {text}"


def _encoding_problem(path: Path) -> str:
    """Say what is wrong with a file that is not UTF-8, and on which line."""
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return "is UTF-16 text; save it as UTF-8"
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                return f"is not UTF-8 text: line {number} has the byte 0x{byte:02x}; save it as UTF-8"
    return "is not UTF-8 text; save it as UTF-8"
