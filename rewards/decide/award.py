"""Award: credit a customer for an activity, by the rules in force when it occurred."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from rewards.core import ids
from rewards.core.errors import AlreadyAwarded, CurrencyMismatch, OccurredInFuture, SelfReferral
from rewards.decide.commands import Award, Purchase, Record, Welcome
from rewards.decide.draft import Draft
from rewards.decide.holding_out import earned_nothing, holding_out, none_apply
from rewards.decide.referral import check_reward, refer
from rewards.decide.standing import LAST, Climb, award_event, climb_at, no_event, stand, told
from rewards.decide.submission import CLOCK_SKEW, Submission
from rewards.decide.survey import check_survey
from rewards.decide.welcome import check_welcome, note_welcomed
from rewards.ledger.lots import is_expired
from rewards.ledger.state import Account, CustomerState, Decision, Grant, Lot, RecordedActivity
from rewards.program import periods
from rewards.program.earning import Earned, NotApplied, earn
from tiers.ladder import timeline_of
from tiers.standing import Stood, tier_of

if TYPE_CHECKING:
    from rewards.ledger.standing_state import Qualifying
    from rewards.program.document import ProgramDocument
    from rewards.program.history import ProgramHistory, ProgramVersion
    from rewards.program.holdout import Experiment
    from rewards.program.ladder import Tier


def award(
    state: CustomerState, submission: Submission, command: Award, programs: "ProgramHistory", now: datetime
) -> Decision:
    """Decide an award.

    Raises:
        AlreadyAwarded: the activity was awarded under another key.
        OccurredInFuture: it lies ahead by more than the clock skew.
        CurrencyMismatch: it is not in the program's currency.
        SelfReferral: the customer is said to have brought itself.
        BalanceTooLarge: the balance would leave the exact range.
    """
    occurred_at = past_instant(command.occurred_at, now)
    activity = command.activity
    activity_key = activity.key(submission.idempotency_key or "")
    version = programs.in_force(occurred_at)
    document = version.document
    _check(state, command, activity_key, version, occurred_at)
    held_out = holding_out(document, state.account, occurred_at, now)
    earned, tier, stood, event = _earned_on_the_ladder(
        state, command, document, programs, occurred_at, held_out
    )
    grants = earned.grants
    draft = Draft(state, submission, now, version.version)
    draft.be_active(occurred_at, document.times.inactive_at)
    lots = _enter_lots(draft, earned, document.times_in(tier), activity_key, occurred_at)
    draft.note_activity(activity.total_minor if isinstance(activity, Purchase) else None, occurred_at)
    if earned.counts or earned.budgets:
        draft.count(earned.counts, earned.budgets)
    referral = refer(draft, state, command, document, occurred_at)
    if referral is not None and held_out is not None:
        referral = {**referral, "reason": "The code is kept; this customer is given nothing for it."}
    points = sum(lot.points for lot in lots)
    body_json = submission.activity_json()
    # Only a later command on the same order in this batch reads the body, and then the lots are at hand.
    body = {} if state.lots is None else from_json(body_json)
    seq = lots[0].lot_seq
    recorded = RecordedActivity(
        activity_key,
        seq,
        points,
        version.version,
        occurred_at,
        body,
        grants,
        list(earned.counts),
        event.points,
        event.spend_minor,
        None if tier is None else tier.id,
        held_out is not None,
    )
    draft.record(recorded, body_json)
    if stood is not None:
        if state.qualifying is not None:
            draft.qualifying = [*state.qualifying, event._replace(seq=seq)]
        stand(draft, stood, programs, activity_key)
    elif isinstance(command, Welcome):
        note_welcomed(draft, programs, activity_key)
    decision = draft.close()
    account = draft.account
    largest = lots[0] if len(lots) == 1 else max(lots, key=lambda lot: lot.points)
    decision.outcome = {
        "award_id": ids.encode(ids.AWARD, account.customer_id, seq),
        "customer_id": account.customer_id,
        "points": points,
        "status": _status(largest, account, now),
        "available_at": largest.available_at,
        "expires_at": largest.expiry(account.inactive_at),
        "program_version": version.version,
        "explanation": _explanation(grants),
        "balance": balance(account),
        "tier": None
        if stood is None or held_out is not None
        else told(timeline_of(programs), account.standing),
    }
    if referral is not None:
        decision.outcome["referral"] = referral
    if len(lots) > 1:
        decision.outcome["lots"] = [{"points": lot.points} | _life(lot, account, now) for lot in lots]
    return decision


def _check(
    state: CustomerState,
    command: Award,
    activity_key: str,
    version: "ProgramVersion",
    occurred_at: datetime,
) -> None:
    """Make sure that the activity can be awarded; what it raises is told in :func:`award`."""
    activity, document = command.activity, version.document
    if activity_key in state.activities:
        raise AlreadyAwarded(
            f"{_described(activity_key)} was awarded before, under another idempotency key; its points stand.",
            activity=activity_key,
        )
    if isinstance(activity, Purchase) and activity.currency != document.currency:
        raise CurrencyMismatch(
            f"The order is in {activity.currency}, but the program in force when it occurred (version "
            f"{version.version}) is in {document.currency}. Convert the amounts before sending them.",
            currency=activity.currency,
            program_currency=document.currency,
        )
    if activity.type == "survey":
        check_survey(document, activity, occurred_at)
    if activity.type == "referral" and activity.referred_customer_id == command.customer_id:
        raise SelfReferral(
            "A customer cannot be rewarded for bringing itself; name the customer who was brought."
        )
    check_reward(state, command)
    check_welcome(state, command, activity_key)


def _earned_on_the_ladder(
    state: CustomerState,
    command: Award,
    document: "ProgramDocument",
    programs: "ProgramHistory",
    occurred_at: datetime,
    held_out: "Experiment | None",
) -> "tuple[Earned, Tier | None, Stood | None, Qualifying]":
    """Return what the activity earns, in which tier, the standing that follows, and what counts to tiers."""
    climb = climb_at(state, programs, occurred_at)
    tier = None if climb is None else climb.tier
    if held_out is not None:
        earned = Earned([]) if isinstance(command, Record) else earned_nothing(held_out)
        event = no_event(occurred_at, LAST)
        is_welcome = isinstance(command, Welcome)
        return earned, tier, None if climb is None or is_welcome else climb.after(event), event
    earned = _earned(state, command, document, occurred_at, tier)
    if isinstance(command, Welcome):
        return earned, tier, None, award_event(occurred_at, LAST, 0, command.activity)
    event = award_event(occurred_at, LAST, _qualifying(earned.grants), command.activity)
    if climb is None:
        return earned, tier, None, event
    stood = climb.after(event)
    if _is_given_at_once(document, stood, tier):
        timeline = timeline_of(programs)
        tier = tier_of(timeline, stood.standing, occurred_at)
        earned = _earned(state, command, document, occurred_at, tier)
        qualifying = _qualifying(earned.grants)
        if qualifying != event.points:
            # A rule that asks for the tier has given other points that count; the standing follows from those.
            event = event._replace(points=qualifying)
            stood = Climb(state, timeline, occurred_at).after(event)
    return earned, tier, stood, event


def _earned(
    state: CustomerState,
    command: Award,
    document: "ProgramDocument",
    occurred_at: datetime,
    tier: "Tier | None",
) -> Earned:
    if isinstance(command, Record):
        return Earned([])
    return earn(
        document, command.activity, state.account, occurred_at, state.counts, state.budgets, tier=tier
    )


def _qualifying(grants: list[Grant]) -> int:
    points = 0
    for grant in grants:
        if grant.qualifies:
            points += grant.points
    return points


def _is_given_at_once(document: "ProgramDocument", stood: Stood, tier: "Tier | None") -> bool:
    """Tell whether the activity itself has reached another tier and is given points by that."""
    ladder = document.ladder
    if ladder is None or ladder.counts_from != "this_activity" or not stood.moves:
        return False
    return stood.standing.tier != (None if tier is None else tier.id)


def why_not(
    state: CustomerState, command: Award, programs: "ProgramHistory", now: datetime
) -> list[NotApplied]:
    """Return the rules for this kind of activity that would give it nothing, each with the reason.

    Raises:
        OccurredInFuture: the activity lies ahead by more than the clock skew.
    """
    occurred_at = past_instant(command.occurred_at, now)
    document = programs.in_force(occurred_at).document
    held_out = holding_out(document, state.account, occurred_at, now)
    if held_out is not None:
        return none_apply(document, command.activity, held_out)
    climb = climb_at(state, programs, occurred_at)
    not_applied: list[NotApplied] = []
    earn(
        document,
        command.activity,
        state.account,
        occurred_at,
        state.counts,
        state.budgets,
        tier=None if climb is None else climb.tier,
        not_applied=not_applied,
    )
    return not_applied


def _enter_lots(
    draft: Draft, earned: Earned, usual: periods.Times, activity_key: str, occurred_at: datetime
) -> list[Lot]:
    """Book the award, an entry and a lot for each life that its points have; a single empty one where it has none."""
    grants = earned.grants
    if not any(earned.times):
        return [_enter_lot(draft, sum(grant.points for grant in grants), usual, activity_key, occurred_at)]
    lives: dict[tuple[datetime, datetime | None, bool], list[int]] = {}
    times_of = [own or usual for own in earned.times]
    for index, (grant, times) in enumerate(zip(grants, times_of, strict=True)):
        if grant.points:
            expires_at = None if times.expires_at is None else times.expires_at(occurred_at)
            life = (times.available_at(occurred_at), expires_at, times.inactive_at is not None)
            lives.setdefault(life, []).append(index)
    lots = []
    for indexes in lives.values():
        points = sum(grants[index].points for index in indexes)
        lot = _enter_lot(draft, points, times_of[indexes[0]], activity_key, occurred_at)
        for index in indexes:
            grants[index].lot_seq = lot.lot_seq
        lots.append(lot)
    return lots or [_enter_lot(draft, 0, usual, activity_key, occurred_at)]


def _enter_lot(
    draft: Draft, points: int, times: periods.Times, activity_key: str, occurred_at: datetime
) -> Lot:
    seq = draft.enter("award", points, activity_key, occurred_at=occurred_at)
    lot = credit_lot(seq, points, occurred_at, times.available_at(occurred_at), times)
    if points:
        draft.add_lot(lot)
    return lot


def _life(lot: Lot, account: Account, now: datetime) -> dict[str, Any]:
    return {
        "status": _status(lot, account, now),
        "available_at": lot.available_at,
        "expires_at": lot.expiry(account.inactive_at),
    }


def _explanation(grants: list[Grant]) -> list[dict[str, Any]]:
    """Return what each rule gave, as data and as a sentence, with what its caps and budget cut."""
    return [
        {"rule_id": each.rule_id, "points": each.points, "text": each.text, "cuts": each.cuts}
        if each.cuts
        else {"rule_id": each.rule_id, "points": each.points, "text": each.text}
        for each in grants
    ]


def past_instant(occurred_at: datetime | None, now: datetime) -> datetime:
    """Return when something happened: ``now`` where it is not said or lies within the clock skew ahead.

    Raises:
        OccurredInFuture: it lies further ahead.
    """
    if occurred_at is None:
        return now
    if occurred_at > now:
        if occurred_at > now + CLOCK_SKEW:
            raise OccurredInFuture(
                f"occurred_at {occurred_at.isoformat()} is later than now ({now.isoformat()}); "
                "send it once it has happened, with an offset that is right for the shop.",
            )
        return now
    return occurred_at


def credit_lot(
    seq: int, points: int, occurred_at: datetime, available_at: datetime, times: periods.Times
) -> Lot:
    """Return the lot that a credit opens, with the life that a program's ``times`` give it."""
    expires_at = None if times.expires_at is None else times.expires_at(occurred_at)
    return Lot(seq, points, points, 0, available_at, expires_at, times.inactive_at is not None)


def balance(account: Account) -> dict[str, int]:
    """Return the four figures of a balance, in points, as the contract names them."""
    return {
        "available": account.available,
        "pending": account.pending,
        "held": account.held,
        "deficit": account.deficit,
    }


def _status(lot: Lot, account: Account, now: datetime) -> str:
    if is_expired(lot, account.inactive_at, now):
        return "expired"
    return "pending" if lot.available_at > now else "available"


def _described(activity_key: str) -> str:
    kind, _, name = activity_key.partition(":")
    return f"{'Order' if kind == 'purchase' else kind.capitalize()} {name}".strip()
