"""What two drafts say differently, place by place, for the two people who wrote them."""

from collections.abc import Iterator
from typing import Any

from rewards.program.loading import as_yaml

_NOTHING = object()
_LONGEST = 400
NOTHING = "–"


def differences(theirs: Any, ours: Any) -> list[tuple[str, str, str]]:
    """Return place, what the one says and what the other says, for all that differs in plain data."""
    return list(_differences("", theirs, ours))


def _differences(path: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str, str]]:
    if type(theirs) is type(ours) and theirs == ours:
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in dict.fromkeys((*theirs, *ours)):
            at = f"{path}.{name}" if path else str(name)
            yield from _differences(at, theirs.get(name, _NOTHING), ours.get(name, _NOTHING))
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    else:
        yield path, _text(theirs), _text(ours)


def _text(value: Any) -> str:
    if value is _NOTHING or value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    text = as_yaml(value).rstrip("\n") if isinstance(value, dict | list) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
