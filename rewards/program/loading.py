"""From a YAML or JSON text to a program document and back, with errors that point at the line.

What is wrong is collected, not met one error at a time. A text is bounded in size, depth and number of
values, so an upload cannot exhaust the process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import ValidationError

from rewards.program.checking import Remark, cautions, problems
from rewards.program.document import ProgramDocument
from rewards.program.explaining import explain
from rewards.program.yaml_reading import Located, Path, Unreadable, plain, read

LARGEST_BYTES = 1024 * 1024

#: More errors than this are counted, not listed.
_MOST_ERRORS = 100


@dataclass(frozen=True, slots=True)
class ProgramError:
    """One thing that is wrong, and where."""

    #: Where in the document, such as ``points.expiry.period``; empty for the whole.
    path: str
    #: Where in the text, counted from 1; None where unknown.
    line: int | None
    column: int | None
    message: str
    #: The text's name, such as a file name; empty where it has none.
    source: str = ""

    def __str__(self) -> str:
        place = [self.source] if self.source else []
        if self.line is not None:
            place += [str(self.line), str(self.column)]
        return ": ".join(part for part in (":".join(place), self.path, self.message) if part)


class ProgramInvalid(Exception):
    """The document cannot be used; ``errors`` says why, in the text's order. ``str`` has one error a line."""

    def __init__(self, errors: Iterable[ProgramError]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(map(str, self.errors)))


def load_file(path: FilePath) -> ProgramDocument:
    """Read a document from a YAML or JSON file.

    Raises:
        ProgramInvalid: it cannot be read, or what it says is not a valid program.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ProgramInvalid([ProgramError("", None, None, f"cannot be read: {reason}", str(path))]) from None
    return load_text(content, source=str(path))


def load_text(text: str | bytes, *, source: str = "") -> ProgramDocument:
    """Read a document from YAML or JSON text.

    Args:
        text: the text, as UTF-8 where it is bytes; at most 1 MiB.
        source: its name in messages, such as a file name.

    Raises:
        ProgramInvalid: it is too large, neither YAML nor JSON, or what it says is not a valid program.
    """
    try:
        located = read(_decoded(text))
    except Unreadable as error:
        raise ProgramInvalid([_unreadable(error, source)]) from None
    return _validated(located, source)


def cautions_of(
    document: ProgramDocument, now: datetime, text: str | bytes = "", source: str = ""
) -> list[ProgramError]:
    """Return what is allowed but hardly meant, such as a rule that never applies.

    Args:
        document: a valid document.
        now: the present.
        text: the text that it was read from, for lines; without it the remarks have paths only.
        source: its name in messages.
    """
    located = read(_decoded(text)) if text else Located(None)
    return [_remarked(remark, located, source if text else None) for remark in cautions(document, now)]


def parse_document(data: Any) -> ProgramDocument:
    """Read a document from plain data, such as a decoded JSON body; errors have a path but no line.

    Raises:
        ProgramInvalid: the data is not a valid program.
    """
    return _validated(Located(data), None)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the document, for editors and other programs."""
    schema = ProgramDocument.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def to_yaml(document: ProgramDocument) -> str:
    """Write a document as YAML; reading it gives an equal document.

    Every field and default is in it, but for the many optional parts of rules and surveys.
    """
    data = document.model_dump(mode="json")
    for name in ("earn", "surveys"):
        data[name] = [each.model_dump(mode="json", exclude_defaults=True) for each in getattr(document, name)]
    return as_yaml(data)


def as_yaml(data: Any) -> str:
    """Write plain data as YAML; reading it gives equal data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def path_text(path: Path) -> str:
    """Write a path the way messages do: ``earn[0].gives.points``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text if len(text) <= 200 else text[:199] + "…"


def _decoded(text: str | bytes) -> str:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > LARGEST_BYTES:
        raise Unreadable(f"is larger than a program can be ({LARGEST_BYTES // 1024**2} MiB)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise Unreadable("is not text in UTF-8", line, column) from None


def _unreadable(error: Unreadable, source: str) -> ProgramError:
    line, column = error.line or None, error.column or None
    return ProgramError(path_text(error.path), line, column, error.message, source)


def _validated(located: Located, source: str | None) -> ProgramDocument:
    errors = [_unreadable(problem, source or "") for problem in located.problems]
    try:
        document = ProgramDocument.model_validate(located.data)
    except ValidationError as invalid:
        errors += _explained(invalid, located, source)
    else:
        errors += [_remarked(remark, located, source) for remark in problems(document)]
        if not errors:
            return document
    errors.sort(key=lambda error: (error.line or 0, error.column or 0))
    if len(errors) > _MOST_ERRORS:
        more = f"and {len(errors) - _MOST_ERRORS} more errors"
        errors[_MOST_ERRORS:] = [ProgramError("", None, None, more, source or "")]
    raise ProgramInvalid(errors)


def _remarked(remark: Remark, located: Located, source: str | None) -> ProgramError:
    line, column = located.position(remark.path) if source is not None else (None, None)
    return ProgramError(path_text(remark.path), line, column, remark.message, source or "")


def _explained(invalid: ValidationError, located: Located, source: str | None) -> list[ProgramError]:
    found = []
    for error in invalid.errors(include_url=False):
        if error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]:
            # It is long enough, but of its items only those were counted that are right; the wrong ones are told of.
            continue
        path, message = explain(error)
        if not path and not isinstance(located.data, dict):
            message = "must be a program: fields such as schema_version, name and currency"
        line, column = located.position(path) if source is not None else (None, None)
        found.append(ProgramError(path_text(path), line, column, message, source or ""))
    return found


class _Dumper(yaml.SafeDumper):
    """Quotes text that our reader, which follows YAML 1.2, would read as something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - lists stand indented, as people write them
        super().increase_indent(flow, indentless=False)


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(plain(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_node)
