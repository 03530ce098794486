"""Whether a condition may stand in a program: it is understood, known, affordable and can be evaluated."""

import re
from functools import lru_cache

from rewards.program.conditions.compiling import ConditionInvalid, compile_alone, environment, joined
from rewards.program.conditions.cost import bound_of
from rewards.program.conditions.evaluating import reason
from rewards.program.conditions.tree import Node
from rewards.program.conditions.variables import Scope, samples, variables_of


def check(expression: str, scope: Scope = "activity", activity: str | None = None) -> None:
    """Do nothing if a condition is fit for a rule for ``activity`` (None: for any); otherwise raise ConditionInvalid.

    The same document is checked whenever it is loaded, so what was found once is remembered.
    """
    problem = _problem(expression, scope, activity)
    if problem is not None:
        raise ConditionInvalid(*problem)


@lru_cache(maxsize=4096)
def _problem(expression: str, scope: Scope, activity: str | None) -> tuple[str, int] | None:
    try:
        _check(expression, scope, activity)
    except ConditionInvalid as problem:
        return problem.message, problem.offset
    return None


def _check(expression: str, scope: Scope, activity: str | None) -> None:
    compiled, tree = compile_alone(expression, scope, activity)
    _must_be_true_or_false(str(compiled.return_type().name()))
    _must_join(expression, scope, activity)
    bound_of(tree, variables_of(scope, activity), scope)
    for node in tree.walk():
        if node.kind == "call":
            _try_literal(node, scope)
    _try_on_samples(expression, tree, scope, activity)


def _must_be_true_or_false(kind: str) -> None:
    if kind.upper() == "BOOL":
        return
    if kind.upper() == "DYN":
        raise ConditionInvalid(
            "a condition must be true or false, and this may be anything; compare it, as in … == 'yes' or … == true"
        )
    named = re.sub(r"<.*", "", kind.lower())
    raise ConditionInvalid(
        f"a condition must be true or false, and this is of the kind {named}; compare it with something"
    )


def _must_join(expression: str, scope: Scope, activity: str | None) -> None:
    """Conditions are evaluated together, which nests each a little deeper than alone."""
    try:
        environment(scope, activity).compile(joined([expression, expression]))
    except RuntimeError:
        raise ConditionInvalid(
            "this is nested too deeply; remove parentheses or make several rules of it"
        ) from None


_TRIED = {"matches": "pattern", "timestamp": "timestamp", "duration": "duration"}


def _try_literal(node: Node, scope: Scope) -> None:
    """Refuse a pattern, timestamp or duration that is written out and wrong, whatever branch it stands in."""
    literal = node.parts[-1]
    if node.value not in _TRIED or literal.kind != "const" or not isinstance(literal.value, str):
        return
    quoted = _quoted(literal.value)
    trial = (
        f"''.matches({quoted})"
        if node.value == "matches"
        else f"{node.value}({quoted}) == {node.value}({quoted})"
    )
    answer = environment(scope).compile(trial).eval(data={}).value()
    if not isinstance(answer, bool):
        detail = reason(answer)
        raise ConditionInvalid(
            f"this {_TRIED[node.value]} cannot be read ({detail}); correct it", literal.offset
        )


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\U{ord(character):08x}" for character in text) + '"'


# What depends on the data rather than on the expression: other attributes, other kinds of values.
_DEPENDS = re.compile(
    r"Key not found|No matching overloads|Index error|invalid index|out of range", re.IGNORECASE
)


def _try_on_samples(expression: str, tree: Node, scope: Scope, activity: str | None) -> None:
    variables = variables_of(scope, activity)
    names = frozenset(node.value for node in tree.walk() if node.kind == "name" and node.value in variables)
    compiled = environment(scope, activity).compile(expression)
    failures: list[str | None] = []
    for facts in samples(variables, names):
        try:
            answer = compiled.eval(data=facts).value()
        except RuntimeError as error:
            raise ConditionInvalid(
                f"on the largest activity this cannot be evaluated: {reason(str(error))}; make it smaller"
            ) from None
        failures.append(None if isinstance(answer, bool) else str(answer))
    if all(failure and not _DEPENDS.search(failure) for failure in failures):
        raise ConditionInvalid(f"this can never be evaluated: {reason(str(failures[-1]))}; correct it")
