"""Conditions of a program, in CEL: what they may say, whether they can be afforded, and whether they are met.

``check`` and ``never_true`` judge a condition when a program is published; ``Conditions`` evaluates many at once.
The library is loaded when the first condition is compiled, so programs without conditions do not pay for it.
"""

from rewards.program.conditions.checking import check
from rewards.program.conditions.compiling import ConditionInvalid
from rewards.program.conditions.evaluating import Conditions
from rewards.program.conditions.hopeless import never_true
from rewards.program.conditions.variables import ITEM_VARIABLES, VARIABLES, Scope, Variable

__all__ = [
    "ITEM_VARIABLES",
    "VARIABLES",
    "ConditionInvalid",
    "Conditions",
    "Scope",
    "Variable",
    "check",
    "never_true",
]
