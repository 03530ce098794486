"""Compile a condition, and say in our words what the library finds wrong with it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from rewards.program.conditions.tree import Node, read_tree
from rewards.program.conditions.variables import ITEM_VARIABLES, VARIABLES, Kind, Scope, variables_of

if TYPE_CHECKING:
    from cel_expr_python import cel

MOST_CHARACTERS = 1000

FUNCTIONS = (
    "all", "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "exists", "exists_one", "filter",
    "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
    "getMinutes", "getMonth", "getSeconds", "has", "int", "map", "matches", "size", "startsWith", "string",
    "timestamp", "type", "uint",
)  # fmt: skip


class ConditionInvalid(ValueError):
    """A condition cannot be used; ``message`` says why and what to do."""

    def __init__(self, message: str, offset: int = 0):
        super().__init__(message)
        self.message = message
        self.offset = offset
        """Where in the expression, as a 0-based character."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return a question that offers the known name closest to a given one, or nothing."""
    close = get_close_matches(name[:64], list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def compile_alone(
    expression: str, scope: Scope, activity: str | None = None
) -> "tuple[cel.Expression, Node]":
    """Return a condition compiled by itself, which proves that it is one expression, and its tree.

    Raises ConditionInvalid, with the first of the problems that the library found.
    """
    try:
        expression.encode()
    except UnicodeEncodeError as error:
        raise ConditionInvalid("this character is not valid Unicode; remove it", error.start) from None
    if len(expression) > MOST_CHARACTERS:
        raise ConditionInvalid(
            f"a condition may have {MOST_CHARACTERS:,} characters, and this one has {len(expression):,};"
            " make several rules of it",
            MOST_CHARACTERS,
        )
    if not expression.strip():
        raise ConditionInvalid("write a condition, or leave it out: without one the rule always applies")
    try:
        compiled = environment(scope, activity).compile(expression)
    except RuntimeError as error:
        raise _translated(str(error), expression, scope, activity) from None
    return compiled, read_tree(compiled.serialize())


def joined(expressions: Iterable[str]) -> str:
    """Return one expression for a list of what several amount to. Each must have been compiled alone before.

    A line break ends a comment at a condition's end, which would otherwise swallow what follows.
    """
    return "[" + ",".join(f"({expression}\n)" for expression in expressions) + "]"


@lru_cache(maxsize=32)
def environment(scope: Scope, activity: str | None = None) -> "cel.Env":
    """Return what the library needs to know of our variables: the known ones and their types."""
    from cel_expr_python import cel

    a_type = cel.Type
    types: dict[Kind, cel.Type] = {
        "text": a_type.STRING,
        "whole number": a_type.INT,
        "true or false": a_type.BOOL,
        "list of texts": a_type.List(a_type.STRING),
        "list of items": a_type.List(a_type.Map(a_type.STRING, a_type.DYN)),
        "map": a_type.Map(a_type.STRING, a_type.DYN),
    }
    known = variables_of(scope, activity)
    return cel.NewEnv(variables={name: types[variable.kind] for name, variable in known.items()})


_PROBLEM = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '(.*?)'")
_OVERLOAD = re.compile(r"found no matching overload for '(.*?)' applied to '(.*?)'")
_SQL_WORDS = {"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "IN": "in"}


def _translated(error: str, expression: str, scope: Scope, activity: str | None) -> ConditionInvalid:
    problem = _PROBLEM.search(error)
    if "recursion" in error or problem is None:
        return ConditionInvalid(
            "this is nested too deeply; remove parentheses or make several rules of it", 0
        )
    line, column, text = int(problem[1]), int(problem[2]), problem[3]
    offset = min(_offset(expression, line, column), len(expression))
    if undeclared := _UNDECLARED.search(text):
        # For a.b.c the library points at the last dot; people look for the beginning.
        start = _start_of_name(expression, offset)
        return ConditionInvalid(_unknown(undeclared[1], expression, offset, scope, activity), start)
    if overload := _OVERLOAD.search(text):
        return ConditionInvalid(wrong_kinds(overload[1], overload[2]), offset)
    if text.startswith(("Syntax error", "unsupported syntax", "reserved identifier")):
        return ConditionInvalid(_unreadable(expression, offset), offset)
    return ConditionInvalid(f"this is not a condition: {text.removesuffix(' [INVALID_ARGUMENT]')}", offset)


def _offset(expression: str, line: int, column: int) -> int:
    """Return the 0-based character of the library's line and column, both of which count from 1."""
    before = expression.split("\n")[: max(line - 1, 0)]
    return sum(len(part) + 1 for part in before) + max(column - 1, 0)


def _start_of_name(expression: str, offset: int) -> int:
    if expression[offset : offset + 1] != ".":
        return offset
    name = re.search(r"\.?\w[\w.\s]*$", expression[:offset])
    return name.start() if name else offset


def _unreadable(expression: str, offset: int) -> str:
    for word, operator in _SQL_WORDS.items():
        if re.search(rf"(?<![\w'\".]){word}(?![\w'\".])", expression):
            return f"this cannot be read; write {operator} instead of {word}"
    if re.search(r"(?<![=!<>])=(?!=)", expression[max(offset - 1, 0) : offset + 2]):
        return "this cannot be read; compare with == instead of ="
    if "“" in expression or "”" in expression or "‘" in expression or "’" in expression:
        return "this cannot be read; write straight quotes, ' or \", around texts"
    if offset >= len(expression.rstrip()):
        return "the condition ends too early; finish it, or close what is still open"
    return f"this cannot be read from {expression[offset : offset + 20]!r} on; check quotes, brackets and operators"


def _unknown(  # noqa: PLR0911 - a list of cases
    name: str, expression: str, offset: int, scope: Scope, activity: str | None
) -> str:
    name = name.removeprefix(".")
    here = variables_of(scope, activity)
    if elsewhere := VARIABLES.get(name):
        if scope == "ladder":
            return f"{name} is not known to a way into a tier; the variables are {', '.join(here)}"
        if scope == "segment":
            return f"{name} is not known of a customer at any time; the variables are {', '.join(here)}"
        if scope == "item":
            return f"{name} is not known about a single item; ask for it in the rule's `when`"
        where = " or ".join(sorted(elsewhere.activities or ()))
        return f"{name} is known for {where} only, and this rule is for {activity}; leave it out"
    if name in ITEM_VARIABLES:
        field = name.removeprefix("item.")
        return f"{name} is known in `items` only; here write order.items.exists(i, i.{field} == …)"
    if members := [known for known in here if known.startswith(name + ".")]:
        return f"{name} alone is no value; ask for one of {', '.join(members)}"
    if re.match(r"\s*\(", expression[offset + len(name) :]) or expression[offset : offset + 1] == "(":
        return f"there is no function {name}{closest(name, FUNCTIONS)}; there are {', '.join(FUNCTIONS)}"
    if name in _SQL_WORDS:
        return f"write {_SQL_WORDS[name]} instead of {name}"
    if "." not in name:
        return f"{name} is unknown{closest(name, here)}; put texts into quotes, as in '{name}'"
    return f"there is no {name}{closest(name, here)}; the variables are {', '.join(here)}"


_KINDS = {
    "int": "a whole number",
    "uint": "an unsigned number",
    "double": "a number with decimals",
    "string": "text",
    "bool": "true or false",
    "null_type": "null",
    "bytes": "bytes",
    "dyn": "anything",
}


def wrong_kinds(function: str, kinds: str) -> str:
    """Return a sentence for an operator or function used on what it cannot be used on."""
    operator = re.sub(r"^@|_", "", function) if function == "@in" or "_" in function else function
    named = [_kind(kind.strip()) for kind in re.split(r",\s*(?![^(]*\))", _arguments(kinds))]
    return (
        f"`{operator}` cannot be used with {' and '.join(named)}; compare like with like,"
        " converting with int(…), double(…) or string(…) where needed"
    )


def _arguments(kinds: str) -> str:
    return kinds.replace(".(", "(").replace("(", ", ", 1).strip(", ").removesuffix(")")


def _kind(kind: str) -> str:
    if kind.startswith("list"):
        return "a list"
    if kind.startswith("map"):
        return "a map"
    return _KINDS.get(kind.removesuffix("64").removesuffix(")"), kind)
