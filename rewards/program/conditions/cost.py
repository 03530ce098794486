"""How much work a condition can be at worst, found without running it.

A trial run only meets the branches that its sample takes, and takes as long as the machine is busy. So the worst is
computed from the tree: every branch counts, and every variable is as large as the API lets it be. The answer is
the same on every machine, and what is accepted once stays accepted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rewards.program.conditions.compiling import ConditionInvalid, closest
from rewards.program.conditions.tree import Node
from rewards.program.conditions.variables import (
    ITEM_FIELDS,
    LONG_TEXT,
    MOST_ATTRIBUTES,
    SHORT_TEXT,
    Scope,
    Variable,
)

# A step is about 10 ns: what the library takes for one node of the tree.
MOST_STEPS: Mapping[Scope, int] = {"activity": 2_000_000, "item": 10_000, "ladder": 10_000, "segment": 10_000}
MOST_ITERATIONS = 9_000
"""The library gives up at 10,000, counted over all loops of an evaluation."""
MOST_LEVELS = 2
MOST_TEXT = 100_000
"""Characters of a text, or elements of a list, that a condition may build."""
MOST_PATTERN = 200
_MOST_REPEATED = 1000

_LOOPS = "all, exists, exists_one, map and filter"


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a part of an expression can cost, and how large its value can become."""

    steps: int = 1
    iterations: int = 0
    levels: int = 0
    length: int = 1
    """Characters of a text, or elements of a list or map."""
    inner: int = 1
    """The same of anything inside it."""
    depth: int = 0
    """How deeply lists and maps are nested in it: 0 for a text or a number."""
    shape: str = ""
    """"items" for a list of the order's items, "item" for one of them."""


def bound_of(tree: Node, variables: Mapping[str, Variable], scope: Scope) -> Bound:
    """Return the most that evaluating a condition once can cost.

    Raises ConditionInvalid if that is more than a condition may cost, or if it asks an item for something that
    items do not have.
    """
    known = {name: _of_variable(variable) for name, variable in variables.items()}
    bound = _bound(tree, known)
    if bound.iterations > MOST_ITERATIONS:
        raise ConditionInvalid(
            f"this could loop {bound.iterations:,} times, and a condition may loop {MOST_ITERATIONS:,} times;"
            " loop over fewer things, or look a value up with `in` instead of looping inside a loop",
            _first_loop(tree),
        )
    if bound.steps > MOST_STEPS[scope]:
        share = bound.steps / MOST_STEPS[scope]
        raise ConditionInvalid(
            f"this could take {share:.1f} times as long as a condition may, on the largest activity;"
            " do less inside loops, and use exists or exists_one where you can: map and filter build lists",
            _first_loop(tree),
        )
    return bound


def _first_loop(tree: Node) -> int:
    return next((node.offset for node in tree.walk() if node.kind == "loop"), 0)


def _of_variable(variable: Variable) -> Bound:
    depth = {"map": 1, "list of texts": 1, "list of items": 3}.get(variable.kind, 0)
    shape = "items" if variable.kind == "list of items" else ""
    return Bound(length=variable.length, inner=variable.inner, depth=depth, shape=shape)


def _bound(node: Node, known: Mapping[str, Bound]) -> Bound:
    match node.kind:
        case "const":
            return Bound(length=len(node.value) if isinstance(node.value, str | bytes) else 1)
        case "name":
            return known.get(node.value, Bound())
        case "loop":
            return _bound_of_loop(node, known)
    parts = [_bound(part, known) for part in node.parts]
    spent = Bound(
        steps=2 + sum(part.steps for part in parts),
        iterations=sum(part.iterations for part in parts),
        levels=max((part.levels for part in parts), default=0),
    )
    match node.kind:
        case "select":
            return _select(node, parts[0], spent)
        case "call":
            return _call(node, parts, spent)
        case _:
            if node.value:
                raise ConditionInvalid(
                    f"a condition cannot build a {node.value}; compare values as they are", node.offset
                )
            inner = max((max(part.length, part.inner) for part in parts), default=1)
            depth = 1 + max((part.depth for part in parts), default=0)
            return replace(spent, length=len(parts), inner=inner, depth=depth)


def _select(node: Node, operand: Bound, spent: Bound) -> Bound:
    if operand.shape != "item":
        return replace(spent, length=operand.inner, inner=operand.inner, depth=max(operand.depth - 1, 0))
    return _of_item(node.value, node.offset, spent)


def _of_item(field: str, offset: int, spent: Bound) -> Bound:
    if field not in ITEM_FIELDS:
        raise ConditionInvalid(
            f"an item has no {field}{closest(field, ITEM_FIELDS)}; it has {', '.join(ITEM_FIELDS)},"
            f" and what the shop sends along is in its attributes: attributes.{field}",
            offset,
        )
    if field == "attributes":
        return replace(spent, length=MOST_ATTRIBUTES, inner=LONG_TEXT, depth=1)
    return replace(spent, length=1 if field in ("quantity", "amount_minor") else SHORT_TEXT)


def _bound_of_loop(node: Node, known: Mapping[str, Bound]) -> Bound:
    over = _bound(node.parts[0], known)
    element = Bound(
        length=over.inner,
        inner=over.inner,
        depth=max(over.depth - 1, 0),
        shape="item" if over.shape == "items" else "",
    )
    builds = node.parts[1].kind == "list"
    start, condition, step, result = (
        _bound(part, {**known, node.value: element, node.accumulator: Bound()}) for part in node.parts[1:]
    )
    levels = 1 + max(over.levels, step.levels) if step.levels else max(1, over.levels)
    if levels > MOST_LEVELS:
        raise ConditionInvalid(
            f"{_LOOPS} may stand inside one another {MOST_LEVELS} deep, and here they are deeper;"
            " split the condition, or look a value up with `in`",
            node.offset,
        )
    times = over.length
    steps = over.steps + start.steps + result.steps + times * (condition.steps + step.steps)
    if builds:
        # The library copies the list for each element that it appends.
        steps += times * times * 8 // 5
    return Bound(
        steps=steps,
        iterations=over.iterations + times * (1 + condition.iterations + step.iterations),
        levels=levels,
        length=times if builds else 1,
        inner=max(step.inner, over.inner) if builds else 1,
        depth=1 + step.depth if builds else 0,
        shape=over.shape if builds and _keeps(node) else "",
    )


def _keeps(loop: Node) -> bool:
    """Whether the elements of what a loop builds are the elements it went over, as in filter."""
    added = loop.parts[3].parts[1] if loop.parts[3].value == "_?_:_" else loop.parts[3]
    appended = added.parts[1].parts if len(added.parts) == 2 else ()
    return len(appended) == 1 and appended[0].kind == "name" and appended[0].value == loop.value


def _call(node: Node, parts: list[Bound], spent: Bound) -> Bound:  # noqa: PLR0911 - a table of functions
    match node.value:
        case "_+_":
            return _plus(node, parts, spent)
        case "_?_:_":
            return _either(parts[1], parts[2], spent)
        case "_[_]":
            return _element(node.parts[1], parts[0], spent)
        case "dyn":
            return replace(parts[0], steps=spent.steps)
        case "_==_" | "_!=_":
            return replace(spent, steps=spent.steps + min(_size(part) for part in parts))
        case "@in":
            # Looking into a list compares one after the other; into a map, too, at worst.
            return replace(spent, steps=spent.steps + 2 * parts[1].length * _size(parts[0]))
        case "matches":
            return replace(spent, steps=spent.steps + _matching(node, parts))
        case "contains" | "startsWith" | "endsWith" | "size":
            texts = parts[0].length * (parts[1].length if len(parts) > 1 else 1)
            return replace(spent, steps=spent.steps + texts // 1000)
        case "string" | "bytes":
            length = max(parts[0].length * 4, 40)
            return replace(spent, steps=spent.steps + length // 100, length=length)
        case _:
            # Comparisons, arithmetic, conversions, parts of timestamps.
            return replace(spent, steps=spent.steps + 30 + max((p.length for p in parts), default=0) // 1000)


def _either(yes: Bound, no: Bound, spent: Bound) -> Bound:
    return replace(
        spent,
        length=max(yes.length, no.length),
        inner=max(yes.inner, no.inner),
        depth=max(yes.depth, no.depth),
        shape=yes.shape if yes.shape == no.shape else "",
    )


def _element(key: Node, within: Bound, spent: Bound) -> Bound:
    if within.shape == "items":
        return replace(spent, length=len(ITEM_FIELDS), inner=LONG_TEXT, depth=2, shape="item")
    if within.shape == "item" and isinstance(key.value, str) and key.kind == "const":
        return _of_item(key.value, key.offset, spent)
    return replace(spent, length=within.inner, inner=within.inner, depth=max(within.depth - 1, 0))


def _plus(node: Node, parts: list[Bound], spent: Bound) -> Bound:
    """Numbers, texts or lists: of what the shop sends along, only the shop knows which, so it counts as text."""
    length = sum(part.length for part in parts)
    if length > MOST_TEXT:
        raise ConditionInvalid(
            f"this could build something {length:,} characters or elements long, and {MOST_TEXT:,} is the most;"
            " compare the parts one by one instead of joining them",
            node.offset,
        )
    return replace(
        spent,
        steps=spent.steps + length * (3 if parts[0].depth else 1),
        length=length if max(part.length for part in parts) > 1 else 1,
        inner=max(part.inner for part in parts),
        depth=max(part.depth for part in parts),
    )


def _size(part: Bound) -> int:
    """Steps to compare something with its like."""
    if part.depth == 0:
        return 1 + part.length // 1000
    steps: int = 2 * part.length * MOST_ATTRIBUTES ** (part.depth - 1)
    return steps


def _matching(node: Node, parts: list[Bound]) -> int:
    """Steps of a regular expression, whose engine takes time in proportion to the text times the pattern."""
    pattern = node.parts[1]
    if pattern.kind != "const":
        raise ConditionInvalid(
            "matches needs its pattern written out as a text, as in survey.comment.matches('great|good')",
            pattern.offset,
        )
    if len(pattern.value) > MOST_PATTERN:
        raise ConditionInvalid(
            f"a pattern may have {MOST_PATTERN} characters, and this one has {len(pattern.value)}",
            pattern.offset,
        )
    repeated = 1
    for count in _repetitions(pattern.value):
        repeated *= max(count, 1)
    if repeated > _MOST_REPEATED:
        raise ConditionInvalid(
            f"a pattern's {{counts}} may multiply up to {_MOST_REPEATED:,}; use smaller counts, or + or *",
            pattern.offset,
        )
    return 300 + 20 * len(pattern.value) * repeated + parts[0].length // 5


def _repetitions(pattern: str) -> list[int]:
    return [int(most or least) for least, most in re.findall(r"\{(\d+),?(\d*)\}", pattern)]
