"""Follow-ups: what a referral brings about for both customers, sent once an order has qualified or was refunded.

What is due stands in the referral's own row, written with the command that brought it about, so nothing is lost
however a process ends. Each step is a command under a key of its own, so doing a step again changes nothing, and
whoever comes first may do it: the process that executed the command, right after, or the job.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from rewards.core.errors import ReferralClosed
from rewards.decide.commands import FollowUp, JudgeReferral, Referral, Referred, Retract, Reward
from rewards.decide.submission import Submission
from rewards.ledger.referral_state import Referral as ReferralState

if TYPE_CHECKING:
    from rewards.engine import Answer

Read = Callable[[], Sequence[tuple[ReferralState, bool]]]
Execute = Callable[[Sequence[Submission]], Sequence["Answer"]]

ACTOR = "referral"
_LOOP = "Each of the two was brought by the other; only the first of these referrals counts."


def follow_up(read: Read, execute: Execute) -> int:
    """Send what is due and return for how many referrals; what fails stays due.

    The reward of who was referred comes first, under the lock that a refund needs too: only where it went through
    is the referrer's sent. So a refund finds either nothing paid, and nothing will be, or both, and takes both back.

    Args:
        read: gives the referrals for which something is due, each with whether it closes a loop.
        execute: carries out commands.
    """
    waiting = read()
    to_reward = [referral for referral, is_loop in waiting if referral.due == "reward" and not is_loop]
    loops = [referral for referral, is_loop in waiting if referral.due == "reward" and is_loop]
    if loops:
        execute(
            [_keyless(JudgeReferral(customer_id=r.customer_id, approve=False, note=_LOOP)) for r in loops]
        )
    if to_reward:
        answers = execute([_reward_referred(referral) for referral in to_reward])
        refused = [
            referral
            for referral, answer in zip(to_reward, answers, strict=True)
            if 400 <= answer.status < 500 and from_json(answer.body)["code"] != ReferralClosed.code
        ]
        if refused:
            execute([_done(referral) for referral in refused])
        waiting = read()
    _send_the_rest([referral for referral, _ in waiting if referral.due in ("referrer", "retract")], execute)
    return len(waiting) if not to_reward else max(len(waiting), len(to_reward))


def _send_the_rest(waiting: Sequence[ReferralState], execute: Execute) -> None:
    steps = [(referral, _steps(referral)) for referral in waiting]
    if not steps:
        return
    answers = iter(execute([step for _, of_referral in steps for step in of_referral]))
    done = []
    for referral, of_referral in steps:
        # A refusal is an answer too, and the same one for ever; only what the database could not take is left.
        statuses = [next(answers).status for _ in of_referral]
        if max(statuses) < 500:
            done.append(_done(referral))
    if done:
        execute(done)


def _steps(referral: ReferralState) -> list[Submission]:
    reward = _reward_referrer(referral)
    if referral.due == "referrer":
        return [reward]
    # Whether the referrer was rewarded is not known here. Sending that once more makes it so, and so that no
    # process that is late can do it after it was taken back.
    return [
        _retract(referral, referral.customer_id, Referred(type="referred").key(""), "referral retract"),
        reward,
        _retract(
            referral,
            referral.referrer_id,
            f"referral:{referral.customer_id}",
            f"referral retract {referral.customer_id}",
        ),
    ]


def _reward_referred(referral: ReferralState) -> Submission:
    activity = Referred(type="referred", attributes=_attributes(referral))
    command = Reward(customer_id=referral.customer_id, occurred_at=referral.ordered_at, activity=activity)
    return _keyed(command, "referral reward")


def _reward_referrer(referral: ReferralState) -> Submission:
    activity = Referral(
        type="referral", referred_customer_id=referral.customer_id, attributes=_attributes(referral)
    )
    command = Reward(customer_id=referral.referrer_id, occurred_at=referral.ordered_at, activity=activity)
    return _keyed(command, f"referral reward {referral.customer_id}")


def _retract(referral: ReferralState, customer_id: str, activity_key: str, key: str) -> Submission:
    command = Retract(customer_id=customer_id, activity_key=activity_key, occurred_at=referral.undone_at)
    return _keyed(command, key)


def _attributes(referral: ReferralState) -> dict[str, Any]:
    return {"order_id": referral.order_id, "order_minor": referral.order_minor}


def _done(referral: ReferralState) -> Submission:
    return _keyless(FollowUp.model_validate({"customer_id": referral.customer_id, "done": referral.due}))


def _keyed(command: Reward | Retract, key: str) -> Submission:
    # The keys have spaces, which no key that comes over HTTP has, so they are never a shop's.
    return Submission(command, key, ACTOR, remember_refusal=False)


def _keyless(command: JudgeReferral | FollowUp) -> Submission:
    return Submission(command, None, ACTOR)
