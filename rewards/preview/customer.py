"""One customer's history, decided again under another program. Pure: facts in, decisions out.

What customers and the shop did stays as it was: what was bought, sent back, answered, spent and adjusted. What
points that gives and takes is decided by :func:`rewards.decide.decide`, and nowhere else.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from rewards.core import ids
from rewards.core.errors import InsufficientPoints, Refusal
from rewards.decide import Submission, decide
from rewards.decide.commands import (
    Activity,
    Adjust,
    Award,
    Capture,
    Command,
    Record,
    Redeem,
    RefundedLine,
    Retract,
    Reverse,
    ReverseRedemption,
    Settle,
    Void,
    Welcome,
)
from rewards.ledger.state import Account, Count, CustomerState, Decision, Entry, RecordedActivity
from rewards.preview.facts import History, StoredActivity, StoredEntry, StoredRedemption, StoredReversal
from rewards.preview.tally import Tally
from rewards.program.document import ProgramDocument
from rewards.program.history import ProgramHistory, ProgramVersion
from rewards.welcomes import welcomes_due

ACTOR = "preview"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ACTIVITY: TypeAdapter[Any] = TypeAdapter(Activity)


class Programs:
    """The programs that a replay decides under: the draft, and before ``since`` what was in force then.

    How many points could be redeemed at once is no question any more: what was redeemed was. So the policies'
    minimum, step and share of an order do not apply; what points are worth does.
    """

    def __init__(self, published: ProgramHistory, draft: ProgramDocument, since: datetime | None) -> None:
        earlier = [
            ProgramVersion(
                each.version,
                _unlimited(each.document),
                each.effective_from,
                each.published_at,
                each.published_by,
            )
            for each in published.versions
            if since is not None and each.effective_from < since
        ]
        number = max((each.version for each in published.versions), default=0) + 1
        starts_at = since or _EPOCH
        last = ProgramVersion(number, _unlimited(draft), starts_at, starts_at, ACTOR)
        # What was decided before a version was published knew nothing of it.
        earlier.sort(key=lambda each: each.published_at)
        self._published_at = [each.published_at for each in earlier]
        self._known = [ProgramHistory([*earlier[:count], last]) for count in range(len(earlier) + 1)]

    def at(self, recorded_at: datetime) -> ProgramHistory:
        """Return what a command is decided under that was recorded at an instant."""
        return self._known[bisect_right(self._published_at, recorded_at)]


def _unlimited(document: ProgramDocument) -> ProgramDocument:
    policy = document.redemption.model_copy(
        update={"minimum_points": 1, "step_points": 1, "max_order_share_pct": None}
    )
    return document.model_copy(update={"redemption": policy})


@dataclass(slots=True)
class Shared:
    """What customers share, threaded through the replay from one to the next.

    The budgets of rules are spent in the order of the customers, not of time.
    """

    budgets: dict[str, Count] = field(default_factory=dict)


class CustomerReplay:
    """Runs one customer's facts in the order in which the ledger recorded them."""

    def __init__(self, history: History, programs: Programs, tally: Tally, shared: Shared) -> None:
        self._history = history
        self._customer_id = history.customer_id
        self._programs = programs
        self._tally = tally
        self._shared = shared
        # Lots that are loaded, though there are none yet: each decision finds all that came before at hand.
        account = Account(
            history.customer_id,
            tags=history.tags_at(_EPOCH),
            member_since=history.member_since,
            arms=history.arms,
        )
        self._state = CustomerState(
            account,
            exists=False,
            lots={},
            budgets=shared.budgets,
            qualifying=[],
            standing_grants=history.grants,
        )
        #: An award whose points have several lives has several entries, the first with the activity.
        self._activity_keys = {each.activity_key for each in history.activities.values()}
        #: Redemptions under the draft by the number that they have in the ledger.
        self._redemptions: dict[int, int] = {}

    def run(self, as_of: datetime) -> None:
        """Replay all, and then let time do what is due at ``as_of``."""
        window = self._tally.window
        for entry in self._history.entries:
            # What tiers gave is given again by those that the draft leads to.
            is_replayed = entry.actor != "time" and not _is_welcome(entry.cause)
            if is_replayed and window.has_come(entry.occurred_at):
                if self._history.offers:
                    self._state.account.tags = self._history.tags_at(entry.recorded_at)
                self._replay(entry)
        self._decide(Settle(customer_id=self._customer_id), None, as_of)

    def _replay(self, entry: StoredEntry) -> None:
        """Run the command that an entry stands for. Some stand for none: their command wrote others too."""
        history, seq = self._history, entry.seq
        match entry.kind:
            case "award":
                if (activity := history.activities.get(seq)) is not None:
                    self._award(entry, activity)
                elif entry.cause not in self._activity_keys:
                    detail = "The ledger has no activity with it, so there is nothing to replay."
                    self._tally.refuse("activity", "not-replayed", self._customer_id, entry.cause, detail)
            case "clawback":
                if (reversal := history.reversals.get(seq)) is not None:
                    self._reverse(entry, reversal)
                elif entry.cause.startswith("retract:"):
                    self._retract(entry)
            case "redeem" | "hold":
                if (redemption := history.redemptions.get(seq)) is not None:
                    self._redeem(entry, redemption)
                else:
                    self._capture(entry, history.redemptions[_number(entry.cause)])
            case "release":
                self._release(entry, history.redemptions[_number(entry.cause)])
            case "reinstate" if entry.cause.startswith("redemption:"):
                self._take_back(entry)
            case "adjust":
                self._adjust(entry)

    def _award(self, entry: StoredEntry, activity: StoredActivity) -> None:
        kind = Record if entry.idempotency_key in self._history.records else Award
        body = _ACTIVITY.validate_json(activity.body)
        command = kind(customer_id=self._customer_id, occurred_at=activity.occurred_at, activity=body)
        self._tally.activities += 1
        decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
        if decision.refusal is not None:
            self._refused("activity", decision.refusal, activity.activity_key)

    def _reverse(self, entry: StoredEntry, reversal: StoredReversal) -> None:
        extent: dict[str, Any]
        if reversal.lines:
            lines = reversal.lines.items()
            extent = {"items": [RefundedLine(line_id=name, amount_minor=each) for name, each in lines]}
        elif reversal.is_full or not reversal.amount_minor:
            extent = {"full": True}
        else:
            extent = {"amount_minor": reversal.amount_minor}
        command = Reverse(
            customer_id=self._customer_id,
            order_id=reversal.order_id,
            refund_id=reversal.refund_id,
            # It is kept as no earlier than its order, which by another server's clock was a little ahead.
            occurred_at=min(reversal.occurred_at, entry.recorded_at),
            **extent,
        )
        decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
        if decision.refusal is not None:
            self._refused("refund", decision.refusal, entry.cause)

    def _retract(self, entry: StoredEntry) -> None:
        command = Retract(
            customer_id=self._customer_id,
            activity_key=entry.cause.removeprefix("retract:"),
            occurred_at=min(entry.occurred_at, entry.recorded_at),
        )
        decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
        if decision.refusal is not None:
            self._refused("refund", decision.refusal, entry.cause)

    def _redeem(self, entry: StoredEntry, redemption: StoredRedemption) -> None:
        """Redeem what was redeemed, or as much of it as there is under the draft."""
        lapses_at = redemption.hold_expires_at
        decision = self._redeem_points(entry, redemption, redemption.points)
        if isinstance(decision.refusal, InsufficientPoints) and decision.refusal.extras["available"]:
            decision = self._redeem_points(entry, redemption, decision.refusal.extras["available"])
        placed = 0
        if decision.refusal is None:
            placed = decision.new_redemptions[0].points
            self._redemptions[redemption.redemption_seq] = decision.new_redemptions[0].redemption_seq
        elif not isinstance(decision.refusal, InsufficientPoints):
            self._refused("redemption", decision.refusal, entry.cause)
        if lapses_at is None and placed < redemption.points:
            self._tally.cut(redemption.points - placed)

    def _redeem_points(self, entry: StoredEntry, redemption: StoredRedemption, points: int) -> Decision:
        lapses_at = redemption.hold_expires_at
        lasts = None
        if lapses_at is not None:
            lasts = f"PT{round((lapses_at - redemption.occurred_at).total_seconds())}S"
        command = Redeem(
            customer_id=self._customer_id,
            points=points,
            order_id=redemption.order_id,
            hold=lapses_at is not None,
            hold_expires_in=lasts,
        )
        return self._decide(command, entry.idempotency_key, entry.recorded_at)

    def _capture(self, entry: StoredEntry, redemption: StoredRedemption) -> None:
        captured = 0
        number = self._redemptions.get(redemption.redemption_seq)
        if number is not None:
            captured = min(redemption.captured, self._state.redemptions[number].points)
            command = Capture(redemption_id=self._redemption_id(number), points=captured)
            decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
            if decision.refusal is not None:
                self._refused("redemption", decision.refusal, entry.cause)
        if captured < redemption.captured:
            self._tally.cut(redemption.captured - captured)

    def _release(self, entry: StoredEntry, redemption: StoredRedemption) -> None:
        """Let a hold go that was voided; one that was captured is released by that."""
        number = self._redemptions.get(redemption.redemption_seq)
        if redemption.status == "voided" and number is not None:
            command = Void(redemption_id=self._redemption_id(number))
            decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
            if decision.refusal is not None:
                self._refused("redemption", decision.refusal, entry.cause)

    def _take_back(self, entry: StoredEntry) -> None:
        number = self._redemptions.get(_number(entry.cause))
        if number is not None:
            command = ReverseRedemption(redemption_id=self._redemption_id(number))
            decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
            if decision.refusal is not None:
                self._refused("redemption", decision.refusal, entry.cause)

    def _adjust(self, entry: StoredEntry) -> None:
        # By hand means as many points as the shop said, whatever there would have been to take them from.
        reason = entry.note or entry.kind
        command = Adjust(
            customer_id=self._customer_id, points=entry.points, reason=reason, allow_negative=True
        )
        decision = self._decide(command, entry.idempotency_key, entry.recorded_at)
        if decision.refusal is not None:
            self._refused("adjustment", decision.refusal, reason)

    def _decide(self, command: Command, key: str | None, now: datetime) -> Decision:
        """Decide, go on from the state after it, and count what it brought about.

        The one place where a replay decides, and so where what customers share goes in and comes out.
        """
        submission = Submission(command, key, ACTOR)
        state = self._state
        if isinstance(command, Award) and not _is_due(state.account, now):
            known = _known_to_award(state, command.activity.key(key or ""))
            decision = decide(known, submission, self._programs.at(now), now)
            if decision.after is not None:
                self._state = _joined(state, decision, decision.after)
        else:
            decision = decide(state, submission, self._programs.at(now), now)
            self._state = decision.after or state
        if decision.refusal is None:
            decision.spend(self._shared.budgets)
            after = self._tally.after
            for entry in decision.entries:
                after.enter(entry.kind, entry.points, entry.occurred_at)
            if decision.new_activity is not None:
                activity, _ = decision.new_activity
                grants = [(each.rule_id, each.points) for each in activity.grants]
                after.give(grants, activity.occurred_at)
            self._welcome(now)
        return decision

    def _welcome(self, now: datetime) -> None:
        """Send what a new standing brings about, as the engine does after each command."""
        standing = self._state.account.standing
        if standing is None:
            return
        for each in welcomes_due(self._customer_id, standing):
            if isinstance(each.command, Welcome):
                self._tally.activities += 1
            self._decide(each.command, each.idempotency_key, now)

    def _redemption_id(self, number: int) -> str:
        return ids.encode(ids.REDEMPTION, self._customer_id, number)

    def _refused(self, what: str, refusal: Refusal, name: str) -> None:
        self._tally.refuse(what, refusal.code, self._customer_id, name, refusal.detail)


def _is_welcome(cause: str) -> bool:
    return cause.removeprefix("retract:").startswith("tier:")


def _is_due(account: Account, now: datetime) -> bool:
    """Tell whether time may have changed the account's own figures, as loading for live commands has it."""
    if account.as_of is not None and account.as_of > now:
        return True
    return account.next_change_at is not None and account.next_change_at <= now


def _known_to_award(state: CustomerState, activity_key: str) -> CustomerState:
    """Return what an award is decided from where nothing is due: the account alone, as when it is live.

    With all lots at hand each award would look through those of all awards before it: minutes of work for a
    customer who ordered ten thousand times.
    """
    recorded: dict[str, RecordedActivity | None] = dict.fromkeys({activity_key} & state.activities.keys())
    return replace(state, activities=recorded, lots=None, redemptions={}, consumed={}, reversals=[])


def _joined(state: CustomerState, decision: Decision, after: CustomerState) -> CustomerState:
    """Return the state after such an award, with all that there is about the customer at hand again."""
    # A decision leaves the state that it is given as it was, so its dictionaries are this replay's own.
    lots, activities = state.lots, state.activities
    assert lots is not None
    if decision.lots_died_at is not None:
        for lot_seq, lot in lots.items():
            if lot.expires_on_inactivity:
                lots[lot_seq] = dead = lot.copy()
                dead.die(decision.lots_died_at)
    lots.update({lot.lot_seq: lot for lot in decision.new_lots})
    if decision.new_activity is not None:
        activity, body_json = decision.new_activity
        activity.body = from_json(body_json)
        activities[activity.activity_key] = activity
    return replace(
        after,
        activities=activities,
        lots=lots,
        redemptions=state.redemptions,
        consumed=state.consumed,
        reversals=state.reversals,
    )


def count_stored(history: History, due: Iterable[Entry], tally: Tally) -> None:
    """Count what the ledger has of a customer, with the entries of what is ``due`` and not booked yet."""
    before = tally.before
    for entry in history.entries:
        before.enter(entry.kind, entry.points, entry.occurred_at)
    for booked_late in due:
        before.enter(booked_late.kind, booked_late.points, booked_late.occurred_at)
    for activity in history.activities.values():
        before.give(activity.grants, activity.occurred_at)


def _number(cause: str) -> int:
    """Return the number that a cause such as ``redemption:7`` names."""
    return int(cause.rpartition(":")[2])
