"""A profile as data: what it may hold, and what it is found by. Pure."""

import re
import unicodedata
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from rewards.decide.commands import Attributes, Instant

LONGEST_EMAIL = 320
LONGEST_NAME = 200
#: A leap year, so that the 29th of February is a day of it.
_ANY_YEAR = 2000

_LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
_EMAIL_PATTERN = r"^[^\s@\x00-\x1f\x7f]+@[^\s@\x00-\x1f\x7f]+$"
_BIRTHDAY = re.compile(r"(?:--|(\d{4})-)?(\d\d)-(\d\d)", re.ASCII)


def _birthday(text: str) -> str:
    """Return a day of birth in the form that is kept: ``1990-05-17`` or, without a year, ``05-17``."""
    match = _BIRTHDAY.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        year, month, day = match.groups()
        date(int(year or _ANY_YEAR), int(month), int(day))
    except ValueError:
        raise ValueError("must be a day such as 1990-05-17 or, without the year, 05-17") from None
    if year is not None and not 1850 <= int(year) <= 2200:
        raise ValueError("must be a day between the years 1850 and 2200")
    return f"{year}-{month}-{day}" if year else f"{month}-{day}"


Email = Annotated[str, Field(min_length=3, max_length=LONGEST_EMAIL, pattern=_EMAIL_PATTERN)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=_LINE_PATTERN)]
Birthday = Annotated[
    str,
    Field(max_length=10),
    AfterValidator(_birthday),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$", "maxLength": 10}),
]


class Profile(BaseModel):
    """What a shop says of who a customer is."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    email: Email | None = None
    name: Name | None = None
    birthday: Birthday | None = None
    """The day of birth, `1990-05-17` or without the year `05-17`; rules may give points on it."""
    joined_at: Instant | None = None
    """Since when the customer is one; the first activity, unless given."""
    attributes: Attributes = Field(default_factory=dict)
    """Whatever else the shop wants to see with the customer."""

    def keys(self) -> tuple[str | None, str | None, str | None]:
        """Return what the customer is found by: e-mail, name, and name with its last word first."""
        name = folded(self.name)
        return folded(self.email), name, surname_first(name)


def folded(text: str | None) -> str | None:
    """Return a text as it is searched by: without case, accents and surplus spaces; None where nothing is left."""
    if text is None:
        return None
    parts = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(part for part in parts if not unicodedata.combining(part))
    return " ".join(plain.split()) or None


def surname_first(name: str | None) -> str | None:
    """Return a name with its last word in front: ``anna lee`` as ``lee anna``."""
    if name is None:
        return None
    first, _, last = name.rpartition(" ")
    return f"{last} {first}".strip()


def words_gone(body: dict[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    """Return an activity's body without what its customer wrote or can be recognised by.

    Each text among answers and attributes, and the comment, becomes ``*``, so that a rule that asks whether there was
    one still finds one; numbers and yes or no stay. Fingerprints go.

    Args:
        body: the activity as it was sent.
        kept: the answers, by the ids of their questions, that were chosen from a list and say nothing more.
    """
    if body.get("type") == "tier":  # which the engine sends itself
        return body
    gone = {name: value for name, value in body.items() if name != "fingerprints"}
    if gone.get("comment") is not None:
        gone["comment"] = "*"
    if "answers" in gone:
        gone["answers"] = {
            name: value if name in kept else _without_words(value) for name, value in gone["answers"].items()
        }
    if "attributes" in gone:
        gone["attributes"] = _all_without_words(gone["attributes"])
    if "items" in gone:
        gone["items"] = [
            {**item, "attributes": _all_without_words(item["attributes"])} if "attributes" in item else item
            for item in gone["items"]
        ]
    return gone


def _all_without_words(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_words(value) for name, value in values.items()}


def _without_words(value: Any) -> Any:
    return "*" if isinstance(value, str | list) else value
