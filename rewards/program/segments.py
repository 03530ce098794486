"""Segments, which are conditions with a name, and campaigns, which offer something to those in a segment.

A rule that names segments applies to customers who are in all of them at the activity; a rule of a campaign applies to
those whom the campaign has made its offer. Both become part of the rule's own condition, so that a decision stays a
matter of the customer's state and the version in force. How customers are found: :mod:`rewards.segments`.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from rewards.program.rules import Condition, EarnRule, LocalMoment, parse_local_moment
from rewards.program.sections import Paragraph, RuleId, Section, Text, invalid

MOST_SEGMENTS = 100
MOST_CAMPAIGNS = 100

#: Tags that begin so are the engine's own: they say whom a campaign has made its offer.
OFFERED = "campaign:"


class Segment(Section):
    """Customers who meet a condition, under a name that rules, campaigns and pages use."""

    id: RuleId
    """Name of the segment in rules and addresses; keep it when you change the segment."""
    name: Text | None = None
    when: Annotated[Condition, Field(json_schema_extra={"format": "cel"})]
    """A CEL expression about the customer, such as `customer.days_since_last_purchase > 120`."""


class Campaign(Section):
    """An offer to the customers of a segment, made to all of them but a part drawn by lot, so that its effect shows."""

    id: RuleId
    """Name of the campaign; a new campaign has a new one, so that nobody's lot is drawn twice."""
    name: Text | None = None
    segment: RuleId
    """To whom: each customer once, when it is first found in this segment while the campaign runs."""
    holdout_pct: Annotated[int, Field(ge=0, le=90)] = 50
    """The share of them, in percent, that gets no offer and is compared with the others; 0 compares with nobody."""
    salt: Annotated[str, Field(min_length=16, max_length=100, pattern=r"^[\x21-\x7e]+$")]
    """A random text of at least 16 characters that draws the lots; never use one twice."""
    from_: LocalMoment = Field(alias="from")
    until: LocalMoment | None = None
    """The first moment from which nobody is offered anything any more."""
    offer_days: Annotated[int, Field(ge=1, le=365)] = 30
    """For how many days after it was made the offer stands."""
    text: Paragraph | None = None
    """What the offer is, for your mailer; it goes out with the event `campaign.offered`."""

    @field_validator("until")
    @classmethod
    def _begins_first(cls, until: str | None, info: ValidationInfo) -> str | None:
        begins = info.data.get("from_")
        if (
            until is not None
            and begins is not None
            and parse_local_moment(until) <= parse_local_moment(begins)
        ):
            raise invalid("ends before it begins; nobody would ever be offered anything")
        return until


def first_missing(rules: Sequence[EarnRule], known: Iterable[str], kind: str) -> tuple[str, str] | None:
    """Return the first rule that names a ``segment`` or ``campaign`` that is not known, and that name."""
    known = set(known)
    for rule in rules:
        named = rule.segments if kind == "segment" else (rule.campaign,) if rule.campaign is not None else ()
        for name in named:
            if name not in known:
                return rule.id, name
    return None


def condition_of(rule: EarnRule, segments: Iterable[Segment]) -> str | None:
    """Return all that must be true for a rule to apply, its segments and campaign included, as one CEL expression."""
    whens = {segment.id: segment.when for segment in segments}
    parts = [whens[name] for name in rule.segments]
    if rule.campaign is not None:
        parts.append(f"'{OFFERED}{rule.campaign}' in customer.tags")
    if rule.when is not None:
        parts.append(rule.when)
    if len(parts) < 2:
        return parts[0] if parts else None
    return " && ".join(f"({part})" for part in parts)
