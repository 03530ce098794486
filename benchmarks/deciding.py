"""(e) Decisions alone, without a database: a program of thirty rules with conditions beside one of a single rule."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from benchmarks.figures import Figure, paired
from rewards.core.collector import tune_for_batches
from rewards.decide import Submission, decide
from rewards.decide.commands import Award
from rewards.ledger.state import Account, CustomerState
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.program.loading import load_text

# Many short rounds, so that both sides meet the same weather.
ROUNDS = 60
DECISIONS = 400
MOST_TIMES_THE_COST = 4.0

NOW = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)

_HEAD = """
schema_version: 1
name: Benchmark
currency: GBP
timezone: Europe/London
points: {pending: P14D, expiry: {type: after, period: P12M, round_up_to: month}}
earn:
"""
_ONE_RULE = (
    _HEAD + "  - {id: base, activity: purchase, gives: {type: per_amount, points: 1, per_minor: 100}}\n"
)

#: What thirty rules ask. The order below, on a Friday evening, meets those in the first group.
_MET = (
    "order.total_minor >= 2000",
    "'newsletter' in customer.tags",
    "time.weekday in ['FR', 'SA'] && time.hour >= 17",
    "activity.channel == 'app'",
    "order.items.exists(i, i.category == 'drinks' && i.quantity >= 2)",
    "customer.spent_minor >= 10000 && customer.purchases >= 5",
    "customer.days_since_joined >= 365 && !('staff' in customer.tags)",
    "has(activity.attributes.gift) && activity.attributes.gift == true",
    "order.units >= 3 && order.discount_minor == 0",
    "time.date >= '2026-11-20' && time.date < '2026-12-01'",
)
_NOT_MET = (
    "order.total_minor >= 10000",
    "order.base_minor > 7500 && order.units > 10",
    "customer.is_first_purchase",
    "'vip' in customer.tags",
    "customer.tier == 'gold'",
    "customer.tier in ['silver', 'platinum'] && order.total_minor >= 3000",
    "customer.days_since_last_purchase >= 90",
    "customer.days_since_last_purchase > 180 || customer.is_first_purchase",
    "time.month == 12 && time.day == 24",
    "time.weekday == 'SU' && time.hour < 12",
    "time.weekday == 'TU'",
    "activity.channel == 'till'",
    "activity.attributes.store == 'Leeds'",
    "has(activity.attributes.coupon) && activity.attributes.coupon.startsWith('TEA')",
    "order.items.exists(i, i.sku == 'POT-1')",
    "order.items.all(i, i.category == 'food')",
    "order.items.filter(i, i.category == 'gifts').size() >= 2",
    "order.discount_minor > 0 && order.discount_minor * 10 >= order.total_minor",
    "customer.spent_minor >= 100000",
    "customer.purchases == 99",
)


def _thirty_rules() -> str:
    rules = []
    for number, when in enumerate([*_MET, *_NOT_MET]):
        gives = "{type: fixed, points: 5}"
        if number % 3 == 0:
            gives = "{type: per_amount, points: 1, per_minor: 1000}"
        rules.append(f'  - {{id: rule-{number}, activity: purchase, when: "{when}", gives: {gives}}}\n')
    return _HEAD + "".join(rules)


def bench_decide(rounds: int = ROUNDS) -> list[Figure]:
    """Decisions a second of one purchase rule and of thirty rules with conditions, and how much more these cost."""
    one, thirty = _history(_ONE_RULE), _history(_thirty_rules())
    _check(thirty)
    tune_for_batches()  # as the server does
    rates: list[tuple[float, float]] = []
    costs: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        alone, together = _microseconds(one), _microseconds(thirty)
        rates.append((1e6 / together, 1e6 / alone))
        costs.append((together, alone))
    # The first round warms up.
    rates, costs = rates[1:], costs[1:]
    return [
        paired("decisions, 30 rules with conditions", "decisions/s", rates, "one purchase rule"),
        paired(
            "cost of such a decision (at most)",
            "µs",
            costs,
            "one purchase rule",
            MOST_TIMES_THE_COST,
        ),
    ]


def _history(text: str) -> ProgramHistory:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return ProgramHistory([ProgramVersion(1, load_text(text), epoch, epoch, "bench")])


def _customer() -> CustomerState:
    account = Account("c-1", seq=12, balance=480, available=480, purchases=11, spent_minor=52_000)
    account.tags = ("newsletter", "wholesale")
    account.joined_at, account.last_purchase_at = NOW - timedelta(days=700), NOW - timedelta(days=12)
    account.as_of = NOW - timedelta(days=12)
    return CustomerState(account)


def _order(number: int) -> Submission:
    lines = [("TEA", "drinks", 2, 1_800), ("BREAD", "food", 1, 700), ("MUG", "gifts", 1, 2_499)]
    items = [
        {"line_id": sku, "sku": sku, "category": category, "quantity": units, "amount_minor": amount}
        for sku, category, units, amount in lines
    ]
    activity = {
        "type": "purchase",
        "order_id": str(number),
        "total_minor": 4_999,
        "currency": "GBP",
        "items": items,
        "channel": "app",
        # A condition on an attribute that was not sent is told apart from the rest, which takes longer.
        "attributes": {"gift": True, "store": "York"},
    }
    command = Award.model_validate({"customer_id": "c-1", "activity": activity})
    return Submission(command, f"key-{number}", "bench")


def _check(programs: ProgramHistory) -> None:
    """Make sure that the order meets the conditions that it is meant to meet, so that the work is what it seems."""
    outcome = decide(_customer(), _order(0), programs, NOW).outcome
    applied = {line["rule_id"] for line in outcome["explanation"]} if outcome else set()
    expected = {f"rule-{number}" for number in range(len(_MET))}
    if applied != expected:
        raise RuntimeError(
            f"these rules should have applied, and did not, or the reverse: {applied ^ expected}"
        )


def _microseconds(programs: ProgramHistory) -> float:
    """Return the microseconds of processor time that a decision takes, from the command to its outcome and rows."""
    state = _customer()
    orders: Sequence[Submission] = [_order(number) for number in range(DECISIONS)]
    started = time.thread_time()
    for order in orders:
        decide(state, order, programs, NOW)
    return (time.thread_time() - started) * 1e6 / DECISIONS
