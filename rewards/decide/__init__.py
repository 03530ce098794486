"""Pure decisions: ``decide(state, submission, programs, now)`` says what comes to be, or which refusal and why."""

from rewards.decide.decide import decide
from rewards.decide.submission import Submission

__all__ = ["Submission", "decide"]
