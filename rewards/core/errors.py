"""What can go wrong, as facts with a stable ``code``.

A :class:`Refusal` is an answer: the engine decided against a command, nothing changed, and the caller is told
why and what to do. A :class:`SetupError` is an operator's problem and is printed as one line.
"""

from typing import Any, ClassVar


class SetupError(Exception):
    """The program cannot run as set up; the message is one line that says what to do."""


class BusyError(Exception):
    """The database stayed unreachable or contended for longer than a caller should wait; try again."""


class Refusal(Exception):
    """A command that the engine decides against.

    Attributes:
        code: stable name of the fact, part of the public contract.
        status: HTTP status, 400-499.
        title: the fact in a few words, the same for every occurrence.
        detail: this occurrence, in a sentence that says what to do.
        extras: further members of the problem document, such as ``available`` and ``requested``.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The command was refused"

    def __init__(self, detail: str, **extras: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extras = extras

    def problem(self) -> dict[str, Any]:
        """Return the RFC 9457 problem document of this refusal."""
        return {
            "type": f"urn:rewards:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extras,
        }


class IdempotencyKeyReused(Refusal):
    code, status, title = "idempotency-key-reused", 422, "The idempotency key was used for another request"


class CustomerNotFound(Refusal):
    code, status, title = "customer-not-found", 404, "No such customer"


class OrderNotFound(Refusal):
    code, status, title = "order-not-found", 404, "No such order"


class RedemptionNotFound(Refusal):
    code, status, title = "redemption-not-found", 404, "No such redemption"


class AlreadyAwarded(Refusal):
    code, title = "already-awarded", "The activity was awarded before"


class AlreadyReversed(Refusal):
    code, title = "already-reversed", "There is nothing left to reverse"


class RefundExceedsOrder(Refusal):
    code, title = "refund-exceeds-order", "The refund is larger than what is left of the order"


class LineNotFound(Refusal):
    code, status, title = "line-not-found", 422, "The order has no such line"


class InsufficientPoints(Refusal):
    code, title = "insufficient-points", "The available points do not cover the request"


class HoldExpired(Refusal):
    code, title = "hold-expired", "The hold has expired"


class HoldAlreadyResolved(Refusal):
    code, title = "hold-already-resolved", "The hold was resolved before"


class CaptureExceedsHold(Refusal):
    code, status, title = "capture-exceeds-hold", 422, "The capture is larger than the hold"


class NotCaptured(Refusal):
    code, title = "not-captured", "The redemption was not captured"


class BelowMinimumRedemption(Refusal):
    code, status, title = "below-minimum-redemption", 422, "Fewer points than the program's minimum"


class NotAStep(Refusal):
    code, status, title = "not-a-redemption-step", 422, "Not a multiple of the program's step"


class ExceedsOrderShare(Refusal):
    code, status, title = "exceeds-order-share", 422, "More than the share of an order that points may pay"


class OrderTotalMissing(Refusal):
    code, status, title = "order-total-missing", 422, "The order's total is needed"


class CurrencyMismatch(Refusal):
    code, status, title = "currency-mismatch", 422, "Not the program's currency"


class SelfReferral(Refusal):
    code, status, title = "self-referral", 422, "A customer cannot refer itself"


class OccurredInFuture(Refusal):
    code, status, title = "occurred-in-future", 422, "The activity lies in the future"


class SurveyNotFound(Refusal):
    code, status, title = "survey-not-found", 404, "The program has no such survey"


class SurveyNotOpen(Refusal):
    code, title = "survey-not-open", "The survey is not open"


class SurveyAnswersInvalid(Refusal):
    code, status, title = "survey-answers-invalid", 422, "The survey's answers are not valid"


class ProfileNotFound(Refusal):
    code, status, title = "profile-not-found", 404, "The customer has no profile"


class ProfileErased(Refusal):
    code, title = "profile-erased", "The customer's profile was erased"


class IdentityLoop(Refusal):
    code, status, title = "identity-loop", 422, "A customer cannot be the same as itself"


class ReferralNotFound(Refusal):
    code, status, title = "referral-not-found", 404, "No such referral"


class ReferralClosed(Refusal):
    code, title = "referral-closed", "The referral is closed"


class BalanceTooLarge(Refusal):
    code, status, title = "balance-too-large", 422, "The balance would grow past what can be kept"


class AlreadyAssigned(Refusal):
    code, title = "already-assigned", "The customer is in the other arm"


class ExperimentNotFound(Refusal):
    code, status, title = "experiment-not-found", 404, "No such experiment"


class NoSuchTier(Refusal):
    code, status, title = "no-such-tier", 422, "There is no such standing to grant"


class NoSuchReward(Refusal):
    code, status, title = "reward-not-found", 422, "No such reward"


class PreviewOutdated(Refusal):
    code, title = "preview-outdated", "It would no longer do what was previewed"
