"""Conditions that can obviously never be met: mistakes that no check of types finds.

Only what is certain is reported. Whatever is not understood here may be true.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rewards.program.conditions.compiling import closest, compile_alone
from rewards.program.conditions.tree import Node
from rewards.program.conditions.variables import Scope, Variable, variables_of

_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_OPPOSITE = {"_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_", "_==_": "_!=_", "_!=_": "_==_"}


def never_true(expression: str, scope: Scope = "activity", activity: str | None = None) -> str | None:
    """Return a sentence why a condition can never be met, or None if it may be, as far as can be seen.

    It must have passed ``check``.
    """
    compiled, tree = compile_alone(expression, scope, activity)
    if not any(node.kind == "name" for node in tree.walk()):
        if compiled.eval(data={}).value() is True:
            return None
        return "this is never true, and it asks about nothing; the rule would never apply"
    variables = dict(variables_of(scope, activity))
    return _never(tree, variables, activity)


def _never(node: Node, variables: dict[str, Variable], activity: str | None) -> str | None:
    if node.kind == "call" and node.value == "_||_":
        sides = [_never(part, variables, activity) for part in node.parts]
        return sides[0] if all(sides) else None
    possible: dict[str, _Possible] = {}
    for part in _conjuncts(node):
        if part.kind == "const" and part.value is False:
            return "this is never true: a part of it is the word false"
        if part.kind == "call" and part.value == "_||_":
            if problem := _never(part, variables, activity):
                return problem
            continue
        for name, operator, value in _comparison(part):
            if name not in variables:
                continue
            left = possible.setdefault(name, _possible(name, variables[name], activity))
            if problem := left.narrow(name, operator, value):
                return problem
    return None


def _conjuncts(node: Node) -> Iterator[Node]:
    if node.kind == "call" and node.value == "_&&_":
        for part in node.parts:
            yield from _conjuncts(part)
    else:
        yield node


def _comparison(node: Node) -> Iterator[tuple[str, str, Any]]:
    """Yield what a node says if it compares a variable with a constant, as (name, operator, constant)."""
    match node:
        case Node(kind="name"):
            yield node.value, "_==_", True
        case Node(kind="call", value="!_", parts=(Node(kind="name") as name,)):
            yield name.value, "_==_", False
        case Node(kind="call", value="!_", parts=(Node(kind="call") as inner,)):
            for compared, operator, value in _comparison(inner):
                if operator in _OPPOSITE:
                    yield compared, _OPPOSITE[operator], value
        case Node(kind="call", parts=(Node(kind="name") as name, Node(kind="const") as constant)) if (
            node.value in _TURNED
        ):
            yield name.value, node.value, constant.value
        case Node(kind="call", parts=(Node(kind="const") as constant, Node(kind="name") as name)) if (
            node.value in _TURNED
        ):
            yield name.value, _TURNED[node.value], constant.value
        case Node(kind="call", value="@in", parts=(Node(kind="name") as name, Node(kind="list") as among)):
            if all(part.kind == "const" for part in among.parts):
                yield name.value, "@in", tuple(part.value for part in among.parts)


@dataclass
class _Possible:
    """What a variable can still be, after the comparisons so far."""

    lowest: int | None = None
    highest: int | None = None
    values: set[Any] | None = None
    """Only these, if known."""
    excluded: set[Any] = field(default_factory=set)
    from_the_start: tuple[Any, ...] | None = None
    at_least: int = 0
    at_most: int | None = None

    def narrow(self, name: str, operator: str, value: Any) -> str | None:
        """Take a comparison into account; return a sentence if nothing remains."""
        if operator in ("_==_", "@in"):
            if not self._keep({value} if operator == "_==_" else set(value)):
                return self._nothing(name, value)
        elif operator == "_!=_":
            self.excluded.add(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            self._bound(operator, value)
        else:
            return None
        return None if self._remains() else self._nothing(name, value)

    def _keep(self, wanted: set[Any]) -> bool:
        self.values = wanted if self.values is None else self.values & wanted
        return bool(self.values)

    def _bound(self, operator: str, value: int) -> None:
        if operator in ("_>_", "_>=_"):
            least = value + (operator == "_>_")
            self.lowest = least if self.lowest is None else max(self.lowest, least)
        else:
            most = value - (operator == "_<_")
            self.highest = most if self.highest is None else min(self.highest, most)

    def _remains(self) -> bool:
        if self.values is not None:
            return any(self._allows(value) for value in self.values)
        if self.lowest is None or self.highest is None:
            return True
        if self.highest - self.lowest >= len(self.excluded):
            return True
        return any(value not in self.excluded for value in range(self.lowest, self.highest + 1))

    def _allows(self, value: Any) -> bool:
        if value in self.excluded:
            return False
        if isinstance(value, bool) or not isinstance(value, int):
            return True
        return (self.lowest is None or value >= self.lowest) and (
            self.highest is None or value <= self.highest
        )

    def _nothing(self, name: str, value: Any) -> str:
        if self.from_the_start is not None and isinstance(value, str) and value not in self.from_the_start:
            known = ", ".join(repr(one) for one in self.from_the_start)
            return (
                f"this is never true: {name} is never {value!r}{closest(value, self.from_the_start)}; it is {known}"
                if len(self.from_the_start) == 1
                else f"this is never true: {name} is never {value!r}; it is one of {known}"
            )
        if self.at_most is not None and isinstance(value, int) and not self.at_least <= value <= self.at_most:
            return f"this is never true: {name} is {self.at_least} to {self.at_most}"
        return f"this is never true: no {name} is all that is asked of it here; did you mean || somewhere?"


def _possible(name: str, variable: Variable, activity: str | None) -> _Possible:
    values = (activity,) if name == "activity.type" and activity is not None else variable.values
    return _Possible(
        variable.lowest,
        variable.highest,
        set(values) if values else None,
        from_the_start=values,
        at_least=variable.lowest or 0,
        at_most=variable.highest,
    )
