"""What every part of the program document is made of: its base class, its texts and ids, and how one is refused."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from rewards.program.durations import parse_duration, parse_month_day

LARGEST_INTEGER = 2**53


def invalid(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error to raise from a validator; ``at`` leads on from the validated field to the culprit."""
    return PydanticCustomError("program", "{message}", {"message": message, "at": list(at)})


def _not_blank(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise invalid("must be readable text, not blank and without control characters")
    return text


_RULE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _rule_id(text: str) -> str:
    if not _RULE_ID.fullmatch(text):
        shape = "1 to 64 letters, digits, hyphens, underscores and dots, beginning with a letter or digit"
        raise invalid(f"{text[:64]!r} is not an id: {shape}")
    return text


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_not_blank)]
#: Longer text for people to read, still in one paragraph.
Paragraph = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(_not_blank)]
RuleId = Annotated[
    str, AfterValidator(_rule_id), WithJsonSchema({"type": "string", "pattern": f"^{_RULE_ID.pattern}$"})
]


def checked(parse: Callable[[str], Any]) -> AfterValidator:
    """Return the validator of texts that ``parse`` understands; its ValueError says what is wrong."""

    def check(text: str) -> str:
        try:
            parse(text)
        except ValueError as error:
            raise invalid(str(error)) from None
        return text

    return AfterValidator(check)


def _positive(text: str) -> str:
    if not parse_duration(text):
        raise invalid(f"{text} is no time at all; write a longer period, for example P12M")
    return text


_DURATION_SCHEMA = {"type": "string", "format": "duration", "examples": ["P12M", "P14D", "PT30M"]}

Count = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Period = Annotated[str, checked(parse_duration), WithJsonSchema(_DURATION_SCHEMA)]
PositivePeriod = Annotated[
    str, checked(parse_duration), AfterValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)
]
MonthDay = Annotated[
    str,
    checked(parse_month_day),
    WithJsonSchema({"type": "string", "pattern": r"^\d\d-\d\d$", "examples": ["06-30", "12-31"]}),
]
Rounding = Literal["floor", "half_up", "ceil"]
ActivityType = Literal[
    "purchase",
    "survey",
    "referral",
    "referred",
    "review",
    "signup",
    "birthday",
    "anniversary",
    "tier",
    "custom",
]


class Section(BaseModel):
    """What all parts of the document share: strict types, no unknown fields, immutable, documented fields.

    Lists are kept as tuples so that a document can never change; what is read is a list, so for them alone
    strictness is off.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True, serialize_by_alias=True
    )
