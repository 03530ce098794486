"""Nicer words for what the document's models leave to a programmer's ears. What is not named here is made from names.

Keys are a field's name, or a section's and the field's where the name alone would say too little: ``Cap.then``.
"""

from typing import Any

from api.pages.document_form.kinds import FieldKind, Kind, ListKind, OneOfKind, SectionKind

_FIELDS = {
    "activity": "Activity",
    "base_amount": "Amount that earns",
    "BaseAmount.discount": "Earn on what a discount took off",
    "BaseAmount.points": "Earn on what was paid with points",
    "BaseAmount.shipping": "Earn on shipping",
    "BaseAmount.tax": "Earn on tax",
    "Budget.then": "What does not fit",
    "Cap.points": "Points at most",
    "Cap.times": "Times at most",
    "Cap.then": "What does not fit",
    "caps": "Caps",
    "ChoiceQuestion.multiple": "More than one can be chosen",
    "counts_to_tiers": "Its points count to tiers",
    "Campaign.from": "From",
    "Campaign.offer_days": "Days for which the offer stands",
    "Campaign.segment": "Segment",
    "Campaign.text": "What the offer is",
    "currency": "Currency",
    "earn": "Earn rules",
    "EarnRule.active": "First and last day",
    "EarnRule.caps": "Caps of this rule",
    "EarnRule.expiry": "Expiry of its own",
    "EarnRule.gives": "What it gives",
    "EarnRule.occurrences": "Which times",
    "EarnRule.pending": "Pending period of its own",
    "EarnRule.campaign": "Only for customers with the offer of",
    "EarnRule.segments": "Only for customers in",
    "EarnRule.when": "Condition",
    "EarnRule.windows": "Times at which it applies",
    "Downgrade.to": "Falls to",
    "every": "Only every so many",
    "expiry": "Expiry",
    "first": "Only the first so many",
    "from": "From",
    "guards": "Guards",
    "Holdout.eligible": "Who is drawn",
    "Holdout.ends_at": "Everybody takes part from",
    "Holdout.planned_end": "When the result is read",
    "Holdout.primary": "Judged by",
    "Holdout.salt": "Salt",
    "Holdout.share_pct": "Share that is held out",
    "Holdout.staggered": "A staggered start",
    "Holdout.starts_at": "Starts at",
    "id": "Id",
    "invitation_only": "By invitation only",
    "items": "Which lines count",
    "Ladder.counts_from": "New tier counts from",
    "Ladder.edits": "When the ladder is edited",
    "Ladder.lasts": "How long a standing lasts",
    "Ladder.notice": "Notice before a standing ends",
    "Ladder.refunds": "What a refund does to a standing",
    "Ladder.upgrade": "When a higher tier is reached",
    "Ladder.window": "What is counted",
    "max_order_share_pct": "Largest share of an order",
    "max_length": "Most characters",
    "month_days": "Days of the month",
    "Multiplier.of": "Rules that it multiplies",
    "multiplier_pct": "Multiplier",
    "name": "Name",
    "negative_balance": "When spent points are taken back",
    "never_downgrade": "Never falls below it",
    "pending": "Pending period",
    "per_minor": "For each",
    "Perk.active": "First and last day",
    "points": "Points",
    "ProgramDocument.points": "Points policy",
    "ProgramDocument.redemption": "Redemption",
    "ProgramDocument.refunds": "Refunds",
    "ProgramDocument.caps": "Caps of all rules",
    "ProgramDocument.no_holdout": "Why nobody is held out",
    "ScaleQuestion.labels": "What the ends mean",
    "RedemptionPolicy.minimum_points": "Fewest at once",
    "RedemptionPolicy.points": "This many points",
    "RedemptionPolicy.step_points": "In steps of",
    "RedemptionPolicy.value_minor": "Are worth",
    "ReferralPolicy.window": "Time to order",
    "required": "Must be answered",
    "round_up_to": "Round up to the end of the",
    "Segment.when": "Condition",
    "spend_minor": "Spend",
    "stacking": "Together with other rules",
    "template": "Ready-made questions",
    "Tier.expiry": "Expiry of its own",
    "Tier.pending": "Pending period of its own",
    "Tier.ways_in": "Ways in",
    "then": "Then",
    "timezone": "Time zone",
    "until": "Until",
    "WayIn.points": "Qualifying points",
    "WayIn.when": "Condition",
    "WayIn.window": "Counted over",
    "Velocity.then": "What comes after them",
    "whole_blocks": "Count whole blocks only",
}

#: Helps of the models that speak of how the document writes what a form shows in another way, or that say nothing.
_HELPS = {
    "PerAmount.per_minor": "…for this much money.",
    "PerAmount.whole_blocks": "10 points per 10.00 give 40 on 49.99, not 49.",
    "RedemptionPolicy.value_minor": "…are worth this much money.",
    "ReferralPolicy.minimum_order_minor": "The least that the order must come to, after refunds too.",
    "WayIn.spend_minor": "What was paid, less refunds.",
    "EarnRule.name": "What customers see; without it the rule's kind is told.",
    "EarnRule.activity": "What a customer does to be given the points.",
    "EarnRule.priority": "Of exclusive rules the highest applies.",
    "EarnRule.counts_to_tiers": "Whether they are qualifying points.",
    "EarnRule.caps": "The most that this rule may give to one customer.",
    "ProgramDocument.name": "Customers see it at the top of their page.",
    "ProgramDocument.earn": "What customers are given points for.",
    "ProgramDocument.surveys": "Questions that earn points when a rule for the activity survey says so.",
    "Fixed.points": "The same each time.",
    "PointsPolicy.pending": "How long after the activity points become available; give it your refund window.",
    "Downgrade.grace": "So much longer it is kept before; who qualifies again meanwhile keeps it. Whole days.",
    "ProgramDocument.ladder": "The tiers that customers climb, lowest first.",
    "ProgramDocument.referrals": "When customers who bring others are rewarded.",
    "Rolling.period": "Whole days: with 12 months, what was bought on 5 March counts until 4 March a year on.",
}

_VALUES = {
    "new": "new customers", "repeat-rate-90d": "repeat rate within 90 days",
    "revenue-per-customer": "revenue per customer",
    "add": "added to theirs", "exclusive": "alone", "best": "only the best of all marked best",
    "MO": "Mon", "TU": "Tue", "WE": "Wed", "TH": "Thu", "FR": "Fri", "SA": "Sat", "SU": "Sun",
    "floor": "down", "half_up": "half up", "ceil": "up",
    "allow": "owe them", "clamp": "forgive them",
    "reduce": "give what is left", "refuse": "give nothing",
    "flag": "wait for a person", "reject": "reject", "ignore": "take no notice",
    "purchase": "purchase", "referral": "referral (who brings)", "referred": "referred (who is brought)",
    "tier": "tier (a tier is reached)",
    "award": "each award", "life": "for life",
    "any": "any one of them", "all": "all of them",
    "high": "the high end", "low": "the low end",
}  # fmt: skip

_VARIANTS = {
    "per_amount": "Points per amount", "fixed": "Fixed points", "per_unit": "Points per unit",
    "multiplier": "A multiplier of other rules", "at_least": "At least so many points",
    "never": "Never", "after": "After a period", "dates": "On dates of the year", "inactivity": "After inactivity",
    "nps": "0 to 10 (Net Promoter Score)", "scale": "A scale", "choice": "A choice", "text": "Free text",
    "lifetime": "Lifetime", "rolling": "A rolling period", "calendar": "Calendar periods",
    "anniversary": "Membership years", "for_ever": "For ever", "while_qualified": "While qualified",
    "period_end": "To the end of the period",
}  # fmt: skip

#: One item of a list, where that is not the list's name without its last letter.
_SINGULARS = {
    "earn": "rule", "ways_in": "way in", "caps": "cap", "surveys": "survey", "windows": "time", "tiers": "tier",
}  # fmt: skip

#: Lists whose items have pages of their own; elsewhere a list's items stand one below the other.
APART = (("earn",), ("surveys",), ("ladder", "tiers"))

_SUFFIXES = {"_minor": "", "_pct": "", "_points": " points", "_days": " days"}
_UNITS = {"_pct": "%"}


def label(field: FieldKind) -> str:
    """Return a field's label."""
    return (
        _FIELDS.get(f"{field.owner}.{field.name}") or _FIELDS.get(field.name) or in_words(_bare(field.name))
    )


def help_text(field: FieldKind) -> str:
    """Return what there is to know of a field."""
    own = _HELPS.get(f"{field.owner}.{field.name}") or field.help
    if own:
        return own
    inner = field.kind.item if isinstance(field.kind, ListKind) else field.kind
    return inner.help if isinstance(inner, SectionKind) else ""


def unit(field: FieldKind, currency: str) -> str:
    """Return what a number counts, where its label does not say so."""
    if field.is_money:
        return currency
    return next((mark for suffix, mark in _UNITS.items() if field.name.endswith(suffix)), "")


def value(each: Any) -> str:
    """Return the name of one of the values to choose from."""
    text = str(each)
    return _VALUES.get(text, text.replace("_", " "))


def variant(tag: str) -> str:
    """Return the name of one of the kinds of section to choose from."""
    return _VARIANTS.get(tag, in_words(tag))


def singular(field: FieldKind) -> str:
    """Return what one item of a list is called."""
    known = _SINGULARS.get(field.name)
    return known if known is not None else field.name.replace("_", " ").removesuffix("s")


def title(kind: Kind, data: Any, what: str, index: int) -> str:
    """Return what to call one item of a list."""
    number = f"{what.capitalize()} {index + 1}"
    if not isinstance(data, dict):
        return number
    for name in ("name", "title", "id", "text"):
        given = data.get(name)
        if isinstance(given, str) and given.strip():
            return given if len(given) <= 60 else given[:59] + "…"
    tag = data.get("type")
    if isinstance(kind, OneOfKind) and isinstance(tag, str) and tag in kind.variants:
        return f"{number}: {variant(tag)}"
    return number


def in_words(name: str) -> str:
    """Return a name as a sentence begins."""
    text = name.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def _bare(name: str) -> str:
    for suffix, instead in _SUFFIXES.items():
        if name.endswith(suffix) and name != suffix.strip("_"):
            return name.removesuffix(suffix) + instead
    return name
