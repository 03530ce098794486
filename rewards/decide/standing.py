"""Standing: what a command means for the customer's place on the ladder, and what is granted by hand.

Evaluated in the same decision as what changes it: from the standing on record where nothing but new activities
happened since, else from all that counts to tiers, which was then loaded.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rewards.core.errors import NoSuchTier
from rewards.decide.commands import EndGrant, Enroll, GrantStanding, Restand
from rewards.decide.draft import Draft
from rewards.decide.holding_out import holding_out
from rewards.decide.submission import Submission
from rewards.ledger.standing_state import Move, Qualifying, Standing, StandingGrant
from rewards.ledger.state import CustomerState, Decision
from rewards.program.ladder import Tier
from tiers.events import event_of, expiry_event
from tiers.folding import Fold
from tiers.history import History
from tiers.ladder import Timeline, tier_told, timeline_of
from tiers.resuming import resumed
from tiers.standing import Stood, advanced_in, can_advance, moves_since, tier_in

if TYPE_CHECKING:
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory

#: Later than any entry of a customer: what is being decided comes after all that is on record.
LAST = 2**62


class Climb:
    """A customer's standing at an instant, and what it becomes with one thing more."""

    def __init__(self, state: CustomerState, timeline: Timeline, at: datetime) -> None:
        self._state, self._timeline, self._at = state, timeline, at
        self._stretch = timeline.stretches[timeline.at(at)]
        self._before = state.account.standing
        self._fold: Fold | None = None
        # Where the history was not loaded the standing on record will do: loading has made sure of that.
        self._is_late = False
        if state.qualifying is not None and not can_advance(timeline, self._before, at):
            history = _history(state)
            self._is_late = _is_late(history, self._before, at)
            fold = Fold(timeline, history) if self._is_late else resumed(timeline, history, self._before)
            self._fold = fold.run(at)

    @property
    def tier(self) -> Tier | None:
        """The tier at that instant."""
        standing = self._before if self._fold is None else self._fold.standing()
        return tier_in(self._stretch, standing)

    def after(self, event: Qualifying) -> Stood:
        """Return the standing with an activity that occurs at that instant; to be asked once."""
        if self._fold is None:
            assert self._before is not None
            return advanced_in(self._stretch, self._before, event)
        if self._is_late:
            return restand(self._state, self._timeline, [event], self._at)
        self._fold.add(event)
        return Stood(self._fold.standing(), moves_since(self._before, self._fold))


def _is_late(history: History, before: Standing | None, at: datetime) -> bool:
    """Tell whether later things than what occurs at ``at`` are on record, which it may change."""
    return (
        (before is not None and before.at > at)
        or any(event.at > at for event in history.events)
        or any(grant.granted_at > at for grant in history.grants)
    )


def climb_at(state: CustomerState, programs: "ProgramHistory", at: datetime) -> Climb | None:
    """Return the customer's standing at an instant; None where no version of the program has a ladder."""
    timeline = timeline_of(programs)
    return Climb(state, timeline, at) if timeline.has_ladder else None


def restand(
    state: CustomerState,
    timeline: Timeline,
    events: Sequence[Qualifying],
    at: datetime,
    *,
    grants: Sequence[StandingGrant] | None = None,
    is_past_new: bool = False,
) -> Stood:
    """Return the standing that all that is known amounts to, with ``events``, at ``at`` or later.

    ``is_past_new`` says that something else than events and grants has changed of what is past.
    """
    before = state.account.standing
    history = _history(state)
    history = history._replace(events=[*history.events, *events])
    if grants is not None:
        history = history._replace(grants=grants)
    until = max([at, *(event.at for event in history.events)])
    if before is not None:
        until = max(until, before.at)
    is_only_time = not events and grants is None and not is_past_new
    # Where nothing is new, the standing on record stands for all that led to it.
    fold = resumed(timeline, history, before) if is_only_time else Fold(timeline, history)
    fold.run(until)
    return Stood(fold.standing(), moves_since(before, fold))


def _history(state: CustomerState) -> History:
    assert state.qualifying is not None, "what counts to tiers was not loaded"
    return History(state.qualifying, state.standing_grants, state.account.member_since)


def stand(draft: Draft, stood: Stood, programs: "ProgramHistory", cause: str) -> None:
    """Let the customer stand as given, with the moves booked, events to send, and welcomes to give or take back."""
    before, standing, moves = draft.account.standing, stood.standing, stood.moves
    timeline = timeline_of(programs)
    if before is not None:
        standing.moves = before.moves
        standing.noticed = before.noticed
        standing.welcomes, standing.to_welcome = before.welcomes, before.to_welcome
        standing.to_retract = before.to_retract
    decision = draft.decision
    for move in moves:
        standing.moves += 1
        document = programs.in_force(move.at).document
        if holding_out(document, draft.account, move.at, draft.now) is not None:
            # Nobody is welcomed or told of a tier who is kept out of the program.
            continue
        _note_welcome(standing, move, timeline, document)
        event = event_of(timeline, draft.account.customer_id, standing, move, draft.now)
        if event is not None:
            decision.events.append(event)
    decision.moves += moves
    decision.moved_by = cause
    decision.is_standing_new = True
    if before is not None and not moves and _sleeps_as_before(before, standing):
        standing.wake_at = before.wake_at
    else:
        standing.wake_at = wake_at(timeline, standing)
    decision.is_place_new = _is_elsewhere(before, standing)
    draft.account.standing = standing


def _sleeps_as_before(before: Standing, standing: Standing) -> bool:
    return before.due_at == standing.due_at and not standing.to_welcome and not standing.to_retract


def _is_elsewhere(before: Standing | None, standing: Standing) -> bool:
    """Tell whether what customers are looked up by has changed."""
    return (
        before is None
        or before.tier != standing.tier
        or before.wake_at != standing.wake_at
        or before.version != standing.version
    )


def wake_at(timeline: Timeline, standing: Standing) -> datetime | None:
    """Return when somebody is to look at a standing: what is due at once comes before all."""
    if standing.to_welcome or standing.to_retract:
        return standing.at
    due_at = standing.due_at
    ladder = timeline.stretches[timeline.at(standing.at)].ladder
    if due_at is None or ladder is None or standing.noticed == due_at:
        return due_at
    days = ladder.days
    return days.begins(days.of(due_at) - ladder.notice_days)


def _note_welcome(standing: Standing, move: Move, timeline: Timeline, document: "ProgramDocument") -> None:
    ladder = timeline.stretches[timeline.at(move.at)].ladder
    places = {} if ladder is None else ladder.place_of
    place = -1 if move.to_tier is None else places.get(move.to_tier, -1)
    came_from = -1 if move.from_tier is None else places.get(move.from_tier, -1)
    if place < came_from:
        above = [key for key in standing.welcomes if places.get(key.split(":")[1], -1) > place]
        standing.welcomes = [key for key in standing.welcomes if key not in above]
        standing.to_welcome = [
            each for each in standing.to_welcome if places.get(each[0].split(":")[1], -1) <= place
        ]
        if move.reason == "corrected":
            # What it rested on was taken back, and so is what came with it.
            standing.to_retract = [*standing.to_retract, *above]
    elif (
        move.reason not in ("program", "corrected") and move.to_tier is not None and "tier" in document.plans
    ):
        key = f"tier:{move.to_tier}:{standing.moves}"
        standing.to_welcome = [*standing.to_welcome, (key, move.at.isoformat())]


def bring_up(
    state: CustomerState, submission: Submission, command: Restand, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide what the ladder in force, and time, have made of a standing; how many moves that is."""
    draft = Draft(state, submission, now, programs.in_force(now).version)
    settle_standing(draft, state, programs, "program")
    decision = draft.close()
    # With lots at hand time has been at the points, too.
    decision.is_only_standing = decision.is_standing_new and state.lots is None
    decision.outcome = {"customer_id": command.customer_id, "moves": len(decision.moves)}
    return decision


def settle_standing(
    draft: Draft, state: CustomerState, programs: "ProgramHistory", cause: str = "time"
) -> None:
    """Book what time has made of the standing, and tell the customer of one that will be lost."""
    timeline = timeline_of(programs)
    if not timeline.has_ladder or state.qualifying is None:
        # Nothing was due when the batch began, or the standing on record will do.
        return
    stood = restand(state, timeline, (), draft.now)
    stand(draft, stood, programs, cause)
    standing = stood.standing
    due_at = standing.due_at
    if due_at is None or standing.wake_at is None or standing.wake_at > draft.now:
        return
    if standing.to_welcome or standing.to_retract:
        return
    standing.noticed = due_at
    standing.wake_at = due_at
    draft.decision.is_place_new = True
    ahead = resumed(timeline, _history(state), standing).run(due_at)
    lost = next(
        (move for move in ahead.moves if move.at > standing.at and move.reason in ("ended", "grant-ended")),
        None,
    )
    if lost is not None:
        draft.decision.events.append(expiry_event(timeline, draft.account.customer_id, standing, lost))


def grant_standing(
    state: CustomerState,
    submission: Submission,
    command: GrantStanding,
    programs: "ProgramHistory",
    now: datetime,
) -> Decision:
    """Decide a standing given by hand; it takes the place of what was granted before.

    Raises:
        NoSuchTier: the ladder in force has no such tier, or there is none.
        GrantEnded: it would be over already.
    """
    timeline = timeline_of(programs)
    ladder = timeline.stretches[timeline.at(now)].ladder
    if ladder is None or command.tier not in ladder.place_of:
        known = "there is no ladder" if ladder is None else f"there are {', '.join(ladder.ids)}"
        raise NoSuchTier(f"The ladder in force has no tier {command.tier!r}; {known}.")
    if command.until is not None and command.until <= now:
        raise NoSuchTier("The standing would be over already; give an `until` that lies ahead, or none.")
    seq = max((grant.grant_seq for grant in state.standing_grants), default=0) + 1
    grant = StandingGrant(seq, command.tier, now, command.until)
    grants = [*_ended(state.standing_grants, now), grant]
    draft = Draft(state, submission, now, programs.in_force(now).version)
    draft.decision.new_grant, draft.decision.grant_reason = grant, command.reason
    draft.decision.grants_ended_at = now
    return _regranted(draft, state, timeline, programs, grants)


def end_grant(
    state: CustomerState, submission: Submission, command: EndGrant, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide that what was granted by hand is over; the reason is the sender's to keep."""
    timeline = timeline_of(programs)
    grants = _ended(state.standing_grants, now)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    draft.decision.grants_ended_at = now
    draft.decision.grant_reason = command.reason
    return _regranted(draft, state, timeline, programs, grants)


def enroll(
    state: CustomerState, submission: Submission, command: Enroll, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide since when the customer is a member."""
    timeline = timeline_of(programs)
    draft = Draft(state, submission, now, programs.in_force(now).version)
    draft.account.member_since = command.member_since
    draft.decision.is_member_since_new = True
    if timeline.has_ladder and state.qualifying is not None:
        known = state.account.copy()
        known.member_since = command.member_since
        stood = restand(_with_account(state, known), timeline, (), now, is_past_new=True)
        stand(draft, stood, programs, "enroll")
    decision = draft.close()
    decision.outcome = {"customer_id": command.customer_id, "member_since": command.member_since}
    return decision


def _regranted(
    draft: Draft,
    state: CustomerState,
    timeline: Timeline,
    programs: "ProgramHistory",
    grants: Sequence[StandingGrant],
) -> Decision:
    draft.standing_grants = grants
    if timeline.has_ladder:
        stand(draft, restand(state, timeline, (), draft.now, grants=grants), programs, "grant")
    decision = draft.close()
    standing = draft.account.standing
    decision.outcome = {
        "customer_id": draft.account.customer_id,
        "tier": told(timeline, standing),
        "since": None if standing is None else standing.since,
        "until": None if standing is None else standing.until,
        "is_granted": standing is not None and standing.is_granted,
    }
    return decision


def _ended(grants: Sequence[StandingGrant], now: datetime) -> list[StandingGrant]:
    return [
        each if each.ends_at is not None and each.ends_at <= now else each._replace(ended_at=now)
        for each in grants
    ]


def _with_account(state: CustomerState, account: Any) -> CustomerState:
    return CustomerState(account, qualifying=state.qualifying, standing_grants=state.standing_grants)


def told(timeline: Timeline, standing: Standing | None) -> dict[str, Any] | None:
    """Return what an answer says of the tier: which, and what it takes to reach the next one."""
    if standing is None:
        return None
    # As of the standing, which of history that is sent late lies in the past, under the ladder of then.
    ladder = timeline.stretches[timeline.at(standing.at)].ladder
    return None if ladder is None else tier_told(ladder, standing)


def after_refund(
    draft: Draft, state: CustomerState, programs: "ProgramHistory", events: Sequence[Qualifying], cause: str
) -> None:
    """Work the standing out anew after something was taken back."""
    timeline = timeline_of(programs)
    if timeline.has_ladder and state.qualifying is not None:
        at = max(event.at for event in events)
        stand(draft, restand(state, timeline, events, at), programs, cause)
        draft.qualifying = [*state.qualifying, *events]


def refund_event(
    at: datetime,
    seq: int,
    counted_on: datetime,
    points: int,
    spend_minor: int,
    *,
    is_full: bool,
    referrals: int = 0,
) -> Qualifying:
    """Return what a refund takes from what counts to tiers; what it takes is positive."""
    return Qualifying(at, seq, counted_on, -points, -spend_minor, -int(is_full), -referrals, is_return=True)


def no_event(at: datetime, seq: int) -> Qualifying:
    """Return what the activity of a customer who is held out adds to what counts to tiers: that it was, and no more."""
    return Qualifying(at, seq, at, 0, 0, 0, 0)


def award_event(at: datetime, seq: int, points: int, activity: Any) -> Qualifying:
    """Return what an activity adds to what counts to tiers."""
    is_purchase = activity.type == "purchase"
    spend_minor = activity.total_minor if is_purchase else 0
    return Qualifying(at, seq, at, points, spend_minor, int(is_purchase), int(activity.type == "referral"))
