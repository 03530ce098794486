"""Any ladder and any customer's life under it, as plain data for the oracle and as the documents and records of the engine."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from ladder_oracle import CONDITIONS, MEASURES, Granted, Happened, Life, Published, midnight

from rewards.ledger.standing_state import Qualifying, StandingGrant
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from tiers.history import History
from tiers.ladder import Timeline

FIRST, LAST = date(2024, 1, 20), date(2025, 5, 10)
DAYS = (LAST - FIRST).days
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/London",
        "America/Santiago",
        "America/Havana",
        "Africa/Cairo",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
        "UTC",
    )
]
IDS = ("wood", "bronze", "silver", "gold", "vip")
_PERIODS = ["P30D", "P1M", "P3M", "P12M", "P2W"]
_MEASURED = ["spend_minor", "points", "orders", "referrals"]
_LEAST = {
    "points": [40, 100, 150],
    "spend_minor": [4000, 10_000, 15_000],
    "orders": [1, 2, 3],
    "referrals": [1, 2],
}

windows = st.one_of(
    st.builds(lambda period: {"type": "rolling", "period": period}, st.sampled_from(_PERIODS)),
    st.builds(lambda unit: {"type": "calendar", "unit": unit}, st.sampled_from(["quarter", "month", "year"])),
    st.just({"type": "anniversary"}),
    st.just({"type": "lifetime"}),
    st.builds(
        lambda dates: {"type": "dates", "dates": sorted(dates)},
        st.sets(
            st.sampled_from(["01-15", "02-28", "02-29", "04-01", "07-31", "12-31"]), min_size=1, max_size=3
        ),
    ),
)


@st.composite
def _way(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.integers(0, 7)) == 7:
        return {"when": draw(st.sampled_from(sorted(CONDITIONS)))}
    measure = draw(st.sampled_from(_MEASURED))
    way: dict[str, Any] = {measure: draw(st.sampled_from(_LEAST[measure]))}
    if draw(st.integers(0, 4)) == 4:
        way["window"] = draw(windows)
    return way


@st.composite
def ladders(draw: st.DrawFn) -> dict[str, Any]:
    """Any ladder that may be published."""
    ids = draw(
        st.lists(st.sampled_from(IDS), unique=True, min_size=draw(st.sampled_from([3, 1])), max_size=5)
    )
    if draw(st.booleans()):
        ids.sort(key=IDS.index)
    window = draw(windows)
    is_periodic = window["type"] in ("calendar", "anniversary", "dates")
    ladder: dict[str, Any] = {"tiers": [draw(_tier(tier_id, not place)) for place, tier_id in enumerate(ids)]}
    ladder["window"] = window
    ladder["lasts"] = lasts = draw(_lasts(is_periodic))
    if is_periodic and lasts["type"] != "while_qualified" and draw(st.integers(0, 3)) == 0:
        ladder["upgrade"] = "period_end"
    downgrade: dict[str, Any] = {
        "to": draw(st.sampled_from(["qualified", "one_lower", "qualified", "one_lower", "first", "none"]))
    }
    if draw(st.integers(0, 2)) or (downgrade["to"] == "one_lower" and lasts["type"] == "while_qualified"):
        downgrade["grace"] = draw(st.sampled_from(["P1M", "P2M", "P10D", "P0D"]))
        if draw(st.booleans()):
            downgrade["round_up_to"] = "month"
    ladder["downgrade"] = downgrade
    ladder["refunds"] = draw(st.sampled_from(["lower", "keep"]))
    ladder["edits"] = draw(st.sampled_from(["requalify", "raise_only"]))
    return ladder


@st.composite
def _tier(draw: st.DrawFn, tier_id: str, is_first: bool) -> dict[str, Any]:
    tier: dict[str, Any] = {"id": tier_id, "name": tier_id.title()}
    if is_first and draw(st.integers(0, 3)) < 3:
        return tier
    if not is_first and draw(st.integers(0, 9)) == 9:
        return {**tier, "invitation_only": True}
    tier["ways_in"] = draw(st.lists(_way(), min_size=1, max_size=2))
    tier["needs"] = draw(st.sampled_from(["any", "all"]))
    if draw(st.integers(0, 5)) == 0:
        tier["never_downgrade"] = True
    return tier


@st.composite
def _lasts(draw: st.DrawFn, is_periodic: bool) -> dict[str, Any]:
    kinds = ["while_qualified", "after", "after", "for_ever"] + ["period_end", "period_end"] * is_periodic
    match draw(st.sampled_from(kinds)):
        case "after":
            lasts: dict[str, Any] = {"type": "after", "period": draw(st.sampled_from(_PERIODS))}
            rounded = draw(st.sampled_from([None, "month", "year"]))
            return lasts | ({} if rounded is None else {"round_up_to": rounded})
        case "period_end":
            return {"type": "period_end", "more_periods": draw(st.integers(0, 2))}
        case kind:
            return {"type": kind}


@st.composite
def _edited(draw: st.DrawFn, ladder: dict[str, Any]) -> dict[str, Any]:
    """A ladder that has much in common with another."""
    other = draw(ladders())
    kept = draw(st.sets(st.sampled_from(["tiers", "window", "lasts", "upgrade", "downgrade", "refunds"])))
    if not kept >= {"window", "lasts", "upgrade"}:
        kept -= {"window", "lasts", "upgrade", "downgrade"}
    edited = {name: value for name, value in other.items() if name not in kept}
    edited |= {name: ladder[name] for name in kept if name in ladder}
    if edited["downgrade"]["to"] == "one_lower" and edited["lasts"]["type"] == "while_qualified":
        edited["downgrade"] = {"grace": "P1M"} | edited["downgrade"]
    return edited


def instants(zone: ZoneInfo) -> st.SearchStrategy[datetime]:
    """Instants of the days that are looked at: often their very beginning, or the same few times."""
    days = st.one_of(
        st.integers(0, DAYS - 60), st.integers(0, 5), st.just((date(2024, 2, 29) - FIRST).days)
    ).map(lambda number: FIRST + timedelta(days=number))
    noon = st.builds(lambda day: datetime.combine(day, time(12), zone).astimezone(UTC), days)
    late = st.builds(lambda day: datetime.combine(day, time(23, 30), zone).astimezone(UTC), days)
    return st.one_of(noon, noon, late, days.map(lambda day: midnight(day, zone)))


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any customer's life: what was bought and sent back, friends, grants, and the ladders that there were."""
    zone = draw(st.sampled_from(ZONES))
    when = instants(zone)
    ladder = draw(ladders())
    published = [
        Published(datetime(2020, 1, 1, tzinfo=UTC), None if draw(st.integers(0, 9)) == 0 else ladder)
    ]
    for at in sorted(draw(st.lists(when, max_size=2))):
        follows = None if draw(st.integers(0, 9)) == 9 else draw(st.one_of(st.just(ladder), _edited(ladder)))
        published.append(Published(at, follows))
    life = Life(zone, published)
    for at in draw(st.lists(when, min_size=draw(st.sampled_from([3, 1])), max_size=8)):
        life.happened += draw(_bought(at, when))
    for at in draw(st.lists(when, max_size=2)):
        life.granted.append(draw(_given(at, when)))
    if draw(st.integers(0, 3)) == 0:
        life.member_since = midnight(FIRST + timedelta(days=draw(st.integers(-400, 200))), zone)
    return life


@st.composite
def _bought(draw: st.DrawFn, at: datetime, when: st.SearchStrategy[datetime]) -> list[Happened]:
    """A referral, or an order with what comes back of it, in parts or whole."""
    if draw(st.integers(0, 5)) == 5:
        return [Happened(at, at, {"referrals": 1})]
    amount = draw(st.sampled_from([10, 6, 12, 3, 1])) * 1000
    happened = [Happened(at, at, {"points": amount // 100, "spend_minor": amount, "orders": 1})]
    left = amount
    for back_at in sorted(draw(st.one_of(st.just([]), st.lists(when, max_size=2)))):
        if back_at >= at and left:
            back = draw(st.sampled_from([left, left // 2 // 100 * 100]))
            left -= back
            amounts = {"points": -(back // 100), "spend_minor": -back, "orders": 0 if left else -1}
            happened.append(Happened(back_at, at, amounts, is_refund=True))
    return happened


@st.composite
def _given(draw: st.DrawFn, at: datetime, when: st.SearchStrategy[datetime]) -> Granted:
    until = draw(st.one_of(st.none(), when))
    return Granted(draw(st.sampled_from(IDS)), at, None if until is None or until <= at else until)


# The same, as the engine has it.


def program(ladder: dict[str, Any] | None, timezone: str = "Europe/London") -> ProgramDocument:
    """Return a program that has a ladder."""
    data = {
        "schema_version": 1,
        "name": "Tea Club",
        "currency": "GBP",
        "timezone": timezone,
        "ladder": ladder,
    }
    return ProgramDocument.model_validate(data)


def timeline_of(life: Life) -> Timeline:
    """Return the program's versions."""
    versions = []
    for number, each in enumerate(life.published, 1):
        document = program(each.ladder, life.zone.key)
        versions.append(ProgramVersion(number, document, each.at, each.at, "test"))
    return Timeline(ProgramHistory(versions))


def history_of(life: Life) -> History:
    """Return what is on record, in the order in which it is listed."""
    events = [
        Qualifying(
            each.at,
            seq,
            each.counted_on,
            *(each.amounts.get(measure, 0) for measure in MEASURES),
            is_return=each.is_refund,
        )
        for seq, each in enumerate(life.happened, 1)
    ]
    grants = [
        StandingGrant(number, each.tier, each.at, each.ends_at) for number, each in enumerate(life.granted, 1)
    ]
    return History(events, grants, life.member_since)


def looks(life: Life, every: int = 1) -> list[datetime]:
    """Return when to look: as days begin, a moment before they end, and whenever something happened."""
    days = [FIRST + timedelta(days=number) for number in range(0, DAYS, every)]
    starts = [midnight(day, life.zone) for day in days]
    ends = [start - timedelta(microseconds=1) for start in starts[1:]]
    others = [each.at for each in (*life.happened, *life.granted, *life.published[1:])]
    return sorted({*starts, *ends, *others})
