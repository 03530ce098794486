"""Evaluate many conditions on an activity in a few calls of the library."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rewards.program.conditions.compiling import compile_alone, environment, joined, wrong_kinds
from rewards.program.conditions.cost import MOST_ITERATIONS, bound_of
from rewards.program.conditions.variables import Scope, variables_of

if TYPE_CHECKING:
    from cel_expr_python import cel

_MOST_TOGETHER = 100
# The library's failures, and what Python raises for facts that it cannot hand over.
_FAILURES = (RuntimeError, ValueError, TypeError, OverflowError)


class Conditions:
    """Conditions of one scope, compiled together; they must have passed ``check``.

    Threads may share one: it does not change.
    """

    names: frozenset[str]
    """Variables that any of the conditions uses: only these need be given. Others may be and do no harm."""

    def __init__(self, expressions: Sequence[str], scope: Scope = "activity"):
        self._expressions = tuple(expressions)
        variables = variables_of(scope)
        self._uses: list[tuple[str, ...]] = []
        iterations = []
        for expression in self._expressions:
            _, tree = compile_alone(expression, scope)
            used = {
                node.value: None for node in tree.walk() if node.kind == "name" and node.value in variables
            }
            self._uses.append(tuple(used))
            iterations.append(bound_of(tree, variables, scope).iterations)
        self.names = frozenset(name for used in self._uses for name in used)
        self._env = environment(scope) if self._expressions else None
        self._groups = [self._group(first, last) for first, last in _grouped(iterations)]
        self._alone: dict[int, cel.Expression] = {}

    def _group(self, first: int, last: int) -> "tuple[int, int, cel.Expression]":
        assert self._env is not None
        return first, last, self._env.compile(joined(self._expressions[first:last]))

    def evaluate(self, facts: Mapping[str, Any]) -> Sequence[bool]:
        """Return for each condition whether the facts meet it; one that cannot be evaluated is not met.

        Lists and maps in the facts must be ``list`` and ``dict``, numbers ``int`` or ``float``.
        """
        if not self._groups or self._env is None:
            return []
        if len(self._groups) == 1:
            return self._met(self._groups[0], None, facts)
        activation = self._env.Activation(facts)
        return [met for group in self._groups for met in self._met(group, activation, facts)]

    def _met(
        self,
        group: "tuple[int, int, cel.Expression]",
        activation: "cel.Activation | None",
        facts: Mapping[str, Any],
    ) -> Sequence[bool]:
        first, last, together = group
        try:
            answer = (
                together.eval(data=facts) if activation is None else together.eval(activation)
            ).plain_value()
        except _FAILURES:
            answer = None
        if isinstance(answer, list):
            return answer
        # One of them failed, and with it the list. They are told apart over the same converted facts.
        assert self._env is not None
        activation = activation or self._env.Activation(facts)
        return [self._one(index, activation) is True for index in range(first, last)]

    def _one(self, index: int, activation: "cel.Activation") -> bool | str:
        """Return what a condition amounts to, or the library's words for why it amounts to nothing."""
        assert self._env is not None
        alone = self._alone.get(index)
        if alone is None:
            # Two threads may both compile it; either's will do.
            alone = self._alone[index] = self._env.compile(self._expressions[index])
        try:
            answer = alone.eval(activation).value()
        except _FAILURES as error:
            return str(error)
        return answer if isinstance(answer, bool) else str(answer)

    def explain(self, index: int, facts: Mapping[str, Any]) -> str:
        """Return a sentence on why a condition is met or not, with the values of the variables that it uses."""
        shown = f"`{' '.join(self._expressions[index].split())}`"
        values = _listed([f"{name} is {_shown(facts[name])}" for name in self._uses[index] if name in facts])
        assert self._env is not None
        answer = self._one(index, self._env.Activation(facts))
        if isinstance(answer, bool):
            verdict = f"{shown} is {'true' if answer else 'false'}"
            return f"{values}, so {verdict}" if values else verdict
        given = f" ({values})" if values else ""
        return f"{shown} cannot be evaluated{given}: {reason(answer)}, so it counts as false"


def _grouped(iterations: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where groups start and end: within the library's budget of iterations, which a group shares."""
    first = spent = 0
    for index, more in enumerate(iterations):
        if index > first and (index - first >= _MOST_TOGETHER or spent + more > MOST_ITERATIONS):
            yield first, index
            first, spent = index, 0
        spent += more
    if first < len(iterations):
        yield first, len(iterations)


def reason(error: str) -> str:
    """Return a phrase for why the library could not evaluate an expression."""
    text = re.sub(r"^[A-Z_]+: | \[[A-Z_]+\]$", "", error)
    if found := re.search(r'Key not found in map : "?(.*?)"?$', text):
        return f"there is no {found[1]!r} (has(…) asks whether there is)"
    if found := re.search(r"No matching overloads found : (.*?)\((.*)\)", text):
        return wrong_kinds(found[1], f"({found[2]})").partition(";")[0]
    if found := re.search(r'No value with name "(.*?)"', text):
        return f"{found[1]} is not known here"
    if found := re.search(r"index=(-?\d+) size=(\d+)", text):
        return f"there is no element {found[1]} in a list of {found[2]}"
    if "Iteration budget" in text:
        return "it loops too often"
    return text[:1].lower() + text[1:200]


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"{len(value)} item{'s' if len(value) > 1 else ''}"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…" + text[-1]
