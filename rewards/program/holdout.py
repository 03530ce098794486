"""The holdout: customers who by lot are kept out of the program, so that what it changes can be told.

Who is held out follows from the customer's id, a salt and the share alone, so that it is the same at every activity, on
every machine and in every replay, and nothing has to be stored for it. What others have drawn before, and is imported,
goes before the lot.
"""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ValidationInfo, WithJsonSchema, field_validator

from rewards.program.rules import LocalMoment, parse_local_moment
from rewards.program.sections import RuleId, Section, invalid

Arm = Literal["program", "holdout"]

#: What explains an award of nothing to who is held out; no rule of a program with a holdout may be called so.
HOLDOUT_RULE = "holdout"

_SALT = re.compile(r"[\x21-\x7e]{16,100}")
#: Shares are kept in hundredths of a percent.
_WHOLE = 10_000


def _salt(text: str) -> str:
    if not _SALT.fullmatch(text):
        raise invalid(
            "a salt is 16 to 100 letters, digits and signs without blanks, drawn at random; "
            "`rewards program holdout` draws one"
        )
    return text


def _share(share_pct: float) -> float:
    hundredths = share_pct * 100
    if not 0 < share_pct < 100 or abs(hundredths - round(hundredths)) > 1e-6:
        raise invalid(
            f"must be more than 0 and less than 100, with two decimals at most, not {share_pct:.10g}; "
            "`rewards program holdout` works out how large a share it takes"
        )
    return round(hundredths) / 100


class Holdout(Section):
    """Customers who by lot are kept out of the program for a while, so that its effect can be measured against them."""

    id: RuleId
    """Name of the experiment in figures and imports; another holdout needs another one."""
    salt: Annotated[
        str, AfterValidator(_salt), WithJsonSchema({"type": "string", "pattern": f"^{_SALT.pattern}$"})
    ]
    """A random text that draws the lots; never use one twice."""
    share_pct: Annotated[
        float,
        AfterValidator(_share),
        WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}),
    ]
    """How many in a hundred customers are held out, with two decimals at most."""
    starts_at: LocalMoment
    """The first moment at which anybody is held out."""
    ends_at: LocalMoment | None = None
    """From this moment on everybody takes part; never unless given."""
    planned_end: LocalMoment | None = None
    """When the result is to be read, as said beforehand: only then is the plain interval told, not the running one."""
    eligible: Literal["new", "all"] = "new"
    """Who takes part in the draw: customers of whom nothing was known before it started, or all."""
    primary: Literal["repeat-rate-90d", "revenue-per-customer"] = "repeat-rate-90d"
    """The one outcome by which it is judged, as said beforehand."""
    staggered: bool = False
    """Whether it is a staggered start: who is held out joins at `ends_at`, and nobody is left out for ever."""

    @field_validator("ends_at", "planned_end")
    @classmethod
    def _comes_after_the_start(cls, moment: str | None, info: ValidationInfo) -> str | None:
        starts_at = info.data.get("starts_at")
        if moment is not None and starts_at is not None and _moment(moment) <= _moment(starts_at):
            raise invalid("is no later than `starts_at`; nobody would ever be held out")
        return moment

    @field_validator("planned_end")
    @classmethod
    def _comes_before_all_join(cls, moment: str | None, info: ValidationInfo) -> str | None:
        ends_at = info.data.get("ends_at")
        if moment is not None and ends_at is not None and _moment(moment) > _moment(ends_at):
            raise invalid("is later than `ends_at`, when everybody takes part and nothing is left to compare")
        return moment

    @field_validator("staggered")
    @classmethod
    def _the_rest_joins(cls, staggered: bool, info: ValidationInfo) -> bool:
        if staggered and "ends_at" in info.data and info.data["ends_at"] is None:
            raise invalid("needs `ends_at`, at which those who are held out join")
        return staggered


def _moment(text: str) -> datetime:
    return parse_local_moment(text)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A holdout's terms, as decisions and measurements need them. Instants are UTC.

    Attributes:
        share: in hundredths of a percent, 1 to 9999.
        ends_at: from when on everybody takes part; None for never.
        planned_end: when the result is to be read; None where that was not said.
        is_for_all: whether customers from before the start take part too.
    """

    experiment_id: str
    salt: str
    share: int
    starts_at: datetime
    ends_at: datetime | None = None
    planned_end: datetime | None = None
    is_for_all: bool = False
    primary: str = "repeat-rate-90d"
    staggered: bool = False

    def is_on(self, at: datetime) -> bool:
        """Tell whether anybody is held out at an instant."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def takes(self, first_at: datetime | None) -> bool:
        """Tell whether a customer of whom something is known since ``first_at`` takes part in the draw."""
        return self.is_for_all or first_at is None or first_at >= self.starts_at

    def drawn(self, unit: str) -> Arm:
        """Return the arm that the lot gives a customer."""
        return _arm(self.salt, unit, self.share)


def experiment_of(holdout: Holdout, zone: ZoneInfo) -> Experiment:
    """Return a holdout's terms, its moments read on the clocks of ``zone``."""
    return Experiment(
        holdout.id,
        holdout.salt,
        round(holdout.share_pct * 100),
        _utc(holdout.starts_at, zone),
        None if holdout.ends_at is None else _utc(holdout.ends_at, zone),
        None if holdout.planned_end is None else _utc(holdout.planned_end, zone),
        holdout.eligible == "all",
        holdout.primary,
        holdout.staggered,
    )


def _utc(moment: str, zone: ZoneInfo) -> datetime:
    return parse_local_moment(moment).replace(tzinfo=zone).astimezone(UTC)


def arm_of(salt: str, unit: str, share_pct: float) -> Arm:
    """Return the arm that a customer's lot falls to: the first 64 bits of SHA-256 over ``salt:unit``, as a fraction of
    2^64, below the share is the holdout. Exact: no float is compared.

    Args:
        salt: of the experiment; another one draws independent lots.
        unit: the customer's id, or whatever is drawn.
        share_pct: the holdout's, in percent, two decimals at most.
    """
    return _arm(salt, unit, round(share_pct * 100))


def _arm(salt: str, unit: str, share: int) -> Arm:
    lot = int.from_bytes(sha256(f"{salt}:{unit}".encode()).digest()[:8])
    return "holdout" if lot * _WHOLE < share << 64 else "program"


def lots_below(share: int) -> bytes:
    """Return the 8 bytes that a lot of the holdout is less than, byte by byte, for drawing in SQL."""
    return (-(-(share << 64) // _WHOLE)).to_bytes(8)


def arm_in(
    experiment: Experiment, customer_id: str, first_at: datetime | None, arms: str | None, now: datetime
) -> Arm | None:
    """Return a customer's arm in an experiment that is on; None for one who does not take part.

    Args:
        experiment: the experiment.
        customer_id: whose.
        first_at: since when anything is known of the customer, the activity in question included.
        arms: what was assigned by others, as :func:`with_arm` writes it.
        now: what was assigned later than this did not count yet.
    """
    if arms is not None:
        assigned = assigned_arm(arms, experiment.experiment_id, now)
        if assigned is not None:
            return assigned
    return experiment.drawn(customer_id) if experiment.takes(first_at) else None


def first_known(*instants: datetime | None) -> datetime | None:
    """Return the earliest of some instants, None where there is none."""
    return min((each for each in instants if each is not None), default=None)


class Participation(NamedTuple):
    """Whether a customer takes part in the program at an instant; ``arm`` is None where no experiment concerns it."""

    experiment_id: str | None
    arm: Arm | None

    @property
    def is_held_out(self) -> bool:
        """Tell whether the customer is kept out of the program."""
        return self.arm == "holdout"

    def told(self) -> dict[str, Any]:
        """Return it in the API's shape."""
        status = "held-out" if self.is_held_out else "enrolled"
        return {"status": status, "experiment_id": self.experiment_id, "arm": self.arm}


ENROLLED = Participation(None, None)


def participation(
    experiment: Experiment | None,
    customer_id: str,
    first_at: datetime | None,
    arms: str | None,
    at: datetime,
) -> Participation:
    """Return whether a customer takes part at an instant, given the experiment of the version in force then.

    Args:
        experiment: the program's; None where it has none.
        customer_id: whose.
        first_at: since when anything is known of the customer; None for nothing yet.
        arms: what was assigned by others, as :func:`with_arm` writes it.
        at: the instant; what was assigned later did not count yet.
    """
    if experiment is None or not experiment.is_on(at):
        return ENROLLED
    arm = arm_in(experiment, customer_id, first_at, arms, at)
    return ENROLLED if arm is None else Participation(experiment.experiment_id, arm)


# Assigned arms stand on the account, as text: few customers have any, and a text costs the others nothing to load. The
# instant says from when on it counted, so that a replay decides as was decided then.


def with_arm(arms: str | None, experiment_id: str, arm: Arm, now: datetime) -> str:
    """Return assigned arms with one more; the experiment must not be among them."""
    one = f"{experiment_id}={arm}@{now.astimezone(UTC).isoformat()}"
    return one if arms is None else f"{arms} {one}"


def assigned_arm(arms: str | None, experiment_id: str, now: datetime | None = None) -> Arm | None:
    """Return the arm that was assigned for an experiment, by ``now`` where that is given."""
    found = read_arms(arms).get(experiment_id) if arms is not None else None
    if found is None or (now is not None and found[1] > now):
        return None
    return found[0]


@lru_cache(maxsize=4_096)
def read_arms(arms: str) -> dict[str, tuple[Arm, datetime]]:
    """Return by experiment the arm that was assigned, and from when on it counts; not to be changed."""
    read: dict[str, tuple[Arm, datetime]] = {}
    for each in arms.split(" "):
        experiment_id, _, rest = each.rpartition("=")
        arm, _, at = rest.partition("@")
        read[experiment_id] = ("holdout" if arm == "holdout" else "program", datetime.fromisoformat(at))
    return read


def new_salt() -> str:
    """Return a fresh random salt."""
    return secrets.token_urlsafe(18)


def snippet(fields: Iterable[tuple[str, Any]]) -> str:
    """Return a holdout as YAML to paste into a program."""
    return "\n".join(["holdout:", *(f"  {name}: {value}" for name, value in fields)])
